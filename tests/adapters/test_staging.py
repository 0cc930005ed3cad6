"""Watching a staging directory that comes and goes."""

import errno
import queue
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from consul_kam.adapters.inotify import Inotify
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

            wait_for("the change", told, 30)
            seen.clear()
    finally:
        watch.stop()


class Exhausted(Inotify):
    """As where the kernel gives no further instance."""

    def __init__(
        self, places: Sequence[Path], changed: Callable[[Path], None], coming: Callable[[Path], None] = print
    ) -> None:
        raise OSError(errno.EMFILE, "Too many open files", "inotify")


def test_where_inotify_fails_it_is_polled(tmp_path: Path) -> None:
    place, told = tmp_path / "staging", queue.Queue[Path]()
    before = set(threading.enumerate())
    watch = Watch([place], told.put, inotify=Exhausted)
    (place / "new").write_text("x")
    assert told.get(timeout=10) == place / "new"
    (place / "new").rename(place / "dispatcher")
    assert told.get(timeout=10) == place / "dispatcher"
    (place / "dispatcher").write_text("longer")
    assert told.get(timeout=10) == place / "dispatcher"
    shutil.rmtree(place)

    def again() -> bool:
        watch.renew()
        (place / "domain").write_text("x")
        return not told.empty() and told.get() == place / "domain"

    wait_for("the directory that was made again", again, 10, every=0.2)
    watch.stop()
    for mine in set(threading.enumerate()) - before:
        mine.join(5)
        assert not mine.is_alive()
