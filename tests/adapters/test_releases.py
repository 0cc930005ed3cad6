"""Releases on disk among files that are not ours, and in a directory that goes away."""

import shutil
from pathlib import Path

from consul_kam.adapters.releases import Releases


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
