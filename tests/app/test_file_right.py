"""Whether the live file is as it was published: what happens to it while the release is being stored counts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.plan import make_release
from consul_kam.datasets import dataset
from consul_kam.testing import FakeKamailio

DISPATCHER = dataset("dispatcher")
RELEASE = make_release(DISPATCHER.parse_native("list", b"1 sip:10.0.0.1:5060 0 10\n").records)


class Interrupted(Releases):
    """Storing takes ms, for it syncs; meanwhile somebody is at the live file."""

    def __init__(self, directory: Path, meanwhile: Callable[[], object]) -> None:
        super().__init__(directory)
        self.meanwhile = meanwhile

    def publish(self, digest: str, content: bytes, about: dict[str, Any]) -> str:
        self.meanwhile()
        return super().publish(digest, content, about)


@pytest.mark.parametrize(
    ("meanwhile", "right"),
    [
        (lambda path: None, True),
        (lambda path: path.unlink(), False),
        (lambda path: path.write_text("1 sip:6.6.6.6\n"), False),
        (lambda path: (path.unlink(), path.mkdir()), False),
    ],
    ids=["nobody", "removed", "changed", "a directory"],
)
def test_what_changes_while_the_release_is_stored_is_seen(
    tmp_path: Path, meanwhile: Callable[[Path], object], right: bool
) -> None:
    live = tmp_path / "list"
    work = Work(DISPATCHER, FakeKamailio(), live, Interrupted(tmp_path / "releases", lambda: meanwhile(live)))
    assert work.publish(events.DoPublish(1, RELEASE, frozenset()), {}) == events.Published(1)
    assert work.file_right() is right


def test_one_that_is_removed_later_is_not_right(tmp_path: Path) -> None:
    live = tmp_path / "list"
    work = Work(DISPATCHER, FakeKamailio(), live, Releases(tmp_path / "releases"))
    assert not work.file_right()
    work.publish(events.DoPublish(1, RELEASE, frozenset()), {})
    assert work.file_right()
    live.unlink()
    assert not work.file_right()
