"""Files that others read."""

import os
import stat
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters import files
from consul_kam.adapters.files import Unusable, read_regular, signature, write_atomic


@pytest.fixture
def narrow() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures("narrow")
def test_a_new_file_can_be_read_by_a_kamailio_of_another_user_whatever_the_umask(tmp_path: Path) -> None:
    write_atomic(tmp_path / "list", b"1")
    assert mode(tmp_path / "list") == 0o644


def test_a_file_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"1")
    (tmp_path / "list").chmod(0o640)
    write_atomic(tmp_path / "list", b"2")
    assert (mode(tmp_path / "list"), (tmp_path / "list").read_bytes()) == (0o640, b"2")


def test_a_private_file_that_everybody_may_read_is_so_no_more(tmp_path: Path) -> None:
    place = tmp_path / "include"
    assert files.is_private(place)
    for before, after in ((0o644, 0o640), (0o666, 0o660), (0o640, 0o640), (0o604, 0o600)):
        place.write_bytes(b"1")
        place.chmod(before)
        assert files.is_private(place) == (before == after)
        write_atomic(place, b"2", 0o600, private=True)
        assert (mode(place), files.is_private(place)) == (after, True)


def test_a_state_file_is_ours_alone(tmp_path: Path) -> None:
    write_atomic(tmp_path / "memory.json", b"{}", 0o600)
    assert mode(tmp_path / "memory.json") == 0o600


def test_a_symlink_is_replaced_by_a_file_that_only_we_may_write(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("before")
    (tmp_path / "list").symlink_to(tmp_path / "real")
    write_atomic(tmp_path / "list", b"after")
    assert stat.S_IMODE((tmp_path / "list").lstat().st_mode) == 0o644
    assert (tmp_path / "real").read_text() == "before"


def test_a_file_whose_directory_became_a_file_has_no_signature(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("no directory")
    assert signature(tmp_path / "place" / "list") == (0, 0, 0)


def test_what_an_interrupted_write_left_behind_is_no_part_of_the_next_one(tmp_path: Path) -> None:
    (tmp_path / ".list.consul-kam").write_text("half of a much longer list")
    write_atomic(tmp_path / "list", b"whole")
    assert (tmp_path / "list").read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["list"]


@pytest.mark.parametrize("ahead", [-100, 0, 100])
def test_later_is_later_in_whole_seconds(tmp_path: Path, ahead: int) -> None:
    """Of a file of the same second, and of one that a clock since set back gave a time to come, too."""
    place = tmp_path / "list"
    write_atomic(place, b"1")
    before = int(place.stat().st_mtime) + ahead
    os.utime(place, (before + 0.9, before + 0.9))
    write_atomic(place, b"2", later=True)
    assert int(place.stat().st_mtime) > before


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_what_is_written_is_read_whole_also_where_it_grows_meanwhile(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    write_atomic(tmp_path / "list", data)
    assert read_regular(tmp_path / "list") == data
    descriptor = os.open(tmp_path / "list", os.O_RDONLY)
    assert files._rest(descriptor, 0, 4_000_000) == data, "more than was said"
    os.lseek(descriptor, 0, os.SEEK_SET)
    assert len(files._rest(descriptor, size, 10)) == min(size, 11), "never more than a byte beyond the limit"
    os.close(descriptor)


def test_a_file_that_is_longer_than_it_was_is_read_to_its_end_and_no_further_than_allowed() -> None:
    """The kernel says 0 bytes of what it makes while it is read."""
    path = Path("/proc/self/status")
    assert path.stat().st_size == 0
    assert read_regular(path).startswith(b"Name:")
    assert b"VmPeak:" in read_regular(path)
    with pytest.raises(Unusable, match="it grew beyond 100 bytes"):
        read_regular(path, 100)


def test_a_short_file_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    tracemalloc.start()
    try:
        assert read_regular(path) == b"x"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
