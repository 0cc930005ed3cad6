"""What was published is known by the file that stands there, not by one that somebody put in its place meanwhile."""

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


class Slow(Releases):
    """Between the file and the release's end somebody comes."""

    def __init__(self, place: Path, live: Path, left: bytes | None) -> None:
        super().__init__(place)
        self.live, self.left = live, left

    def publish(self, *args: Any) -> None:
        super().publish(*args)
        self.live.unlink()
        if self.left is not None:
            self.live.write_bytes(self.left)


@pytest.mark.parametrize("left", [None, b"1 sip:10.6.6.6:5060 0 10\n"])
def test_what_took_the_files_place_while_it_was_published_is_not_taken_for_it(
    tmp_path: Path, left: bytes | None
) -> None:
    live = tmp_path / "list"
    work = Work(DISPATCHER, FakeKamailio({}), live, Slow(tmp_path / "releases", live, left))
    work.publish(events.DoPublish(1, RELEASE, frozenset()), {"at": 0.0})
    assert not work.file_right()
    live.write_bytes(b"1 sip:10.0.0.1:5060 0 10\n")
    assert work.file_right()
