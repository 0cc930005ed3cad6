"""Releases on disk among files that are not ours, and in a directory that goes away."""

import shutil
from pathlib import Path

from consul_kam.adapters.releases import Releases, Stored


def test_files_that_only_look_like_releases_are_none(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    for name in ("9zz-a", "0-", "000002-zz", "memory"):
        (tmp_path / f"{name}.json").write_text("{}")
    assert releases.publish("ab" * 32, b"1\n", {}) == "000001-abababababab"
    assert releases.names() == ["000001-abababababab"]


def test_a_directory_that_was_removed_is_made_again(tmp_path: Path) -> None:
    releases = Releases(tmp_path / "releases" / "dispatcher")
    shutil.rmtree(tmp_path / "releases")
    assert releases.publish("ab" * 32, b"1\n", {}) == "000001-abababababab"


def test_the_newest_list_published_anew_is_no_release_of_its_own(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    releases.publish("aa" * 32, b"1\n", {})
    releases.publish("bb" * 32, b"2\n", {"ours": []})
    assert releases.publish("bb" * 32, b"2 # again\n", {"ours": [[1]]}) == "000002-bbbbbbbbbbbb"
    assert releases.newest() == Stored("000002-bbbbbbbbbbbb", b"2 # again\n", {"ours": [[1]]})
    assert releases.names() == ["000001-aaaaaaaaaaaa", "000002-bbbbbbbbbbbb"]
    assert releases.publish("aa" * 32, b"1\n", {}) == "000003-aaaaaaaaaaaa"


def test_the_oldest_go_when_there_are_too_many(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    for number in range(1, 23):
        releases.publish(f"{number:064x}"[::-1], b"", {})
    releases.publish(f"{22:064x}"[::-1], b"", {})
    assert [name[:6] for name in releases.names()] == [f"{number:06d}" for number in range(3, 23)]


def test_which_one_came_before(tmp_path: Path) -> None:
    releases = Releases(tmp_path)
    assert releases.before("") is None
    one, two, three = (releases.publish(letter * 64, b"", {}) for letter in "abc")
    assert (releases.before(""), releases.before("gone")) == (two, two)
    assert [releases.before(name) for name in (three, two, one)] == [two, one, None]
