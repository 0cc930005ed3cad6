"""Watching a staging directory that comes and goes."""

import shutil
import threading
from pathlib import Path

from consul_kam.adapters.staging import Watch
from tests.lab import wait_for


def test_a_directory_made_again_is_watched_again_whatever_inode_it_gets(tmp_path: Path) -> None:
    """Most file systems give the new one the inode of the old one at once."""
    place, seen = tmp_path / "staging", threading.Event()
    watch = Watch([place], lambda path: seen.set())
    try:
        for _ in range(8):
            shutil.rmtree(place)
            place.mkdir(mode=0o750)

            def told() -> bool:
                watch.renew()
                (place / "new").write_text("x")
                return seen.wait(0.2)

            wait_for("the change", told, 10)
            seen.clear()
    finally:
        watch.stop()
