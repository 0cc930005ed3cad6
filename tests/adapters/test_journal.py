"""The journal: what comes back of it, whoever else writes there."""

from pathlib import Path

from consul_kam.adapters import journal
from consul_kam.adapters.journal import Journal


def numbered(path: Path, *datasets: str) -> Journal:
    found = Journal(path)
    for number, name in enumerate(datasets):
        found.write({"dataset": name, "at": number})
    return found


def test_the_newest_entries_oldest_first(tmp_path: Path) -> None:
    found = numbered(tmp_path / "journal", "a", "b", "a", "b", "b")
    assert [entry["at"] for entry in found.tail(3)] == [2, 3, 4]
    assert [entry["at"] for entry in found.tail(9)] == [0, 1, 2, 3, 4]
    assert found.tail(0) == found.tail(-1) == []
    assert [entry["at"] for entry in found.tail(9, since=3)] == [3, 4]


def test_as_many_of_one_dataset_as_are_asked_for_however_much_others_say(tmp_path: Path) -> None:
    found = numbered(tmp_path / "journal", "a", "b", "a", "b", "b")
    assert [entry["at"] for entry in found.tail(2, "a")] == [0, 2]
    assert found.tail(2, "c") == []


def test_a_line_that_was_cut_or_is_no_entry_does_not_count(tmp_path: Path) -> None:
    found = numbered(tmp_path / "journal", "a", "a")
    with (tmp_path / "journal").open("a") as file:
        file.write('[1]\n{"dataset":"a","at":\n')
    assert [entry["at"] for entry in found.tail(1)] == [1]


def test_the_one_before_is_read_too(tmp_path: Path) -> None:
    found = numbered(tmp_path / "journal", "a")
    (tmp_path / "journal").rename(tmp_path / "journal.1")
    assert Journal(tmp_path / "journal").tail(5) == [{"dataset": "a", "at": 0}]
    found.write({"dataset": "a", "at": 1, "long": "x" * journal.LARGEST})
    assert [entry["at"] for entry in found.tail(5)] == [1]
    assert not (tmp_path / "journal").exists()
