"""Following the journal: every entry once and in order, whatever becomes of its files in between."""

import os
from pathlib import Path
from typing import BinaryIO

import pytest

from consul_kam.adapters import files, journal
from consul_kam.adapters.journal import Follower, Journal


def write(path: Path, *numbers: int, long: int = 0) -> None:
    for number in numbers:
        Journal(path).write({"at": number, "long": "x" * long})


def read(follower: Follower) -> list[int]:
    return [int(entry["at"]) for entry in follower.read()]


def test_it_begins_with_the_oldest_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    follower = Follower(path)
    assert read(follower) == []
    write(path, 1, 2)
    path.rename(tmp_path / "journal.1")
    write(path, 3)
    assert read(follower) == [1, 2, 3]
    assert read(follower) == []
    write(path, 4)
    assert read(follower) == [4]


def test_a_full_journal_is_read_to_its_end_and_the_new_one_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 1)
    follower = Follower(path)
    assert read(follower) == [1]
    write(path, 2)
    write(path, 3, long=journal.LARGEST)
    assert not path.exists()
    write(path, 4, 5)
    assert read(follower) == [2, 3, 4, 5]
    write(path, 6, long=journal.LARGEST)
    assert read(follower) == [6]
    assert read(follower) == []
    write(path, 7)
    assert read(follower) == [7]


def test_many_full_journals_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    follower, seen = Follower(path), list[int]()
    for number in range(12):
        write(path, number, long=journal.LARGEST // 3 + 1)
        seen += read(follower)
    assert seen == list(range(12))


def test_a_line_that_is_being_written_waits_for_its_end_and_a_bad_one_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    follower = Follower(path)
    with path.open("ab", buffering=0) as file:
        file.write(b'{"at":1}\n{"at"')
        assert read(follower) == [1]
        file.write(b':2}\n[3]\n{"at":\n{"at":4}\n')
    assert read(follower) == [2, 4]
    assert follower.damaged == 2


def test_a_state_directory_that_was_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "state" / "journal"
    path.parent.mkdir()
    write(path, 1)
    follower = Follower(path)
    assert read(follower) == [1]
    path.parent.rename(tmp_path / "old")
    assert read(follower) == []
    path.parent.mkdir()
    write(path, 2)
    assert read(follower) == [2]


def test_an_emptied_journal_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 1, 2)
    follower = Follower(path)
    assert read(follower) == [1, 2]
    os.truncate(path, 0)
    write(path, 3)
    assert read(follower) == [3]


@pytest.mark.parametrize("make", [lambda path: os.mkfifo(path), lambda path: path.symlink_to("/etc/hostname")])
def test_what_is_no_regular_file_is_not_read(tmp_path: Path, make: object) -> None:
    make(tmp_path / "journal")  # type: ignore[operator]
    with pytest.raises(files.Unusable):
        read(Follower(tmp_path / "journal"))


def test_only_as_much_as_is_left_of_an_endless_line_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"x" * (journal.LARGEST + 2 * journal.CHUNK) + b'\n{"at":1}\n')
    follower = Follower(path)
    assert read(follower) == [1]
    assert follower.damaged >= 1


def test_what_is_written_between_the_end_of_a_file_and_the_next_one_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    write(path, 1)

    class Late(Follower):
        """The journal gets full just after its end was seen."""

        late = True

        def _following(self) -> BinaryIO | None:
            if self.late and self._file is not None:
                self.late = False
                write(path, 2)
                write(path, 3, long=journal.LARGEST)
                write(path, 4)
            return super()._following()

    assert read(Late(path)) == [1, 2, 3, 4]
