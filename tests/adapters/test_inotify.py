"""Signs of the kernel, and which of them count."""

import queue
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.inotify import Inotify
from tests.lab import wait_for

Told = queue.Queue[Path]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    found: Told = queue.Queue()
    (tmp_path / "there").mkdir()
    watch = Inotify([tmp_path, tmp_path / "there"], found.put)
    yield found
    watch.stop()


def test_a_rename_into_place_is_told(tmp_path: Path, told: Told) -> None:
    (tmp_path / "there" / "new").write_text("x")
    assert told.get(timeout=20) == tmp_path / "there" / "new"
    (tmp_path / "there" / "new").rename(tmp_path / "list")
    assert told.get(timeout=20) == tmp_path / "list"
    assert told.empty()


def test_a_file_is_told_once_it_is_closed_and_not_before_and_reading_it_is_no_sign(tmp_path: Path, told: Told) -> None:
    with (tmp_path / "list").open("w") as file:
        file.write("x")
        file.flush()
        (tmp_path / "other").write_text("y")
        assert told.get(timeout=20) == tmp_path / "other"
    assert told.get(timeout=20) == tmp_path / "list"
    assert (tmp_path / "list").read_text() == "x"
    (tmp_path / "last").write_text("z")
    assert told.get(timeout=20) == tmp_path / "last"


def test_a_name_that_is_no_utf8(tmp_path: Path, told: Told) -> None:
    (tmp_path / "caf\udce9").write_text("x")
    assert told.get(timeout=20) == tmp_path / "caf\udce9"


def test_where_signs_were_lost_every_file_is_told(tmp_path: Path) -> None:
    watch = Inotify([tmp_path], lambda path: None)
    (tmp_path / "one").write_text("")
    (tmp_path / "two").write_text("")
    overflow = struct.pack("iIII", -1, 0x4000, 0, 0)
    assert sorted(watch._files(overflow)) == [(tmp_path / "one", True), (tmp_path / "two", True)]
    watch.stop()


def test_a_directory_that_goes_is_known_and_the_others_stay_watched(tmp_path: Path) -> None:
    found: Told = queue.Queue()
    (tmp_path / "there").mkdir()
    watch = Inotify([tmp_path, tmp_path / "there"], found.put)
    assert watch.whole
    (tmp_path / "there").rmdir()
    wait_for("the removal", lambda: not watch.whole, 20)
    (tmp_path / "list").write_text("x")
    assert found.get(timeout=20) == tmp_path / "list"
    watch.stop()


def test_stopped_its_thread_ends(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    watch = Inotify([tmp_path], lambda path: None)
    (mine,) = set(threading.enumerate()) - before
    watch.stop()
    mine.join(5)
    assert not mine.is_alive()


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Inotify([tmp_path / "nowhere"], lambda path: None)


def test_who_begins_to_write_is_told_before_the_file_is_whole(tmp_path: Path) -> None:
    told: queue.Queue[tuple[str, Path]] = queue.Queue()
    watch = Inotify([tmp_path], lambda path: told.put(("whole", path)), lambda path: told.put(("coming", path)))
    with (tmp_path / "123").open("w") as file:
        assert told.get(timeout=20) == ("coming", tmp_path / "123")
        file.write("x")
    assert told.get(timeout=20) == ("whole", tmp_path / "123")
    (tmp_path / "123").rename(tmp_path / "list")
    assert told.get(timeout=20) == ("whole", tmp_path / "list")
    watch.stop()
