"""Is the live file as it was published? Somebody may be quick to put something in its place."""

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
RELEASE = make_release(DISPATCHER.parse_native("x", b"1 sip:10.0.0.1:5060 0 10\n").records)


class Quick(Releases):
    """Somebody does `first` between the live file and the release beside it."""

    first: Callable[[], object] = staticmethod(lambda: None)

    def publish(self, digest: str, content: bytes, about: dict[str, Any]) -> str:
        self.first()
        return super().publish(digest, content, about)


@pytest.mark.parametrize("there_before", [True, False])
@pytest.mark.parametrize(
    ("does", "right"),
    [
        (Path.unlink, False),
        (lambda path: path.write_bytes(b"1 sip:10.0.0.9:5060 0 10\n"), False),
        (lambda path: None, True),
    ],
)
def test_what_was_put_in_its_place_at_once_is_not_right(
    tmp_path: Path, does: Callable[[Path], object], right: bool, there_before: bool
) -> None:
    live, releases = tmp_path / "live", Quick(tmp_path / "releases")
    work = Work(DISPATCHER, FakeKamailio(), live, releases)
    action = events.DoPublish(1, RELEASE, frozenset())
    if there_before:
        work.publish(action, {})
    releases.first = lambda: does(live)
    assert isinstance(work.publish(action, {}), events.Published)
    assert [work.file_right(), work.file_right()] == [right, right]
