"""Watching the staging directories: inotify, and polling by watchdog where inotify fails."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.polling import PollingObserver

from consul_kam.adapters import trust
from consul_kam.adapters.inotify import Inotify

POLL = 1.0
"""Seconds between looks where inotify does not work (some network and FUSE file systems, exhausted watches)."""


class _Handler(FileSystemEventHandler):
    """Polling sees no end of writing: each change is a sign, and a list that is half there is refused as such."""

    def __init__(self, changed: Callable[[Path], None]) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not event.is_directory and event.event_type in ("created", "modified", "moved"):
            place = event.dest_path or event.src_path
            self._changed(Path(place if isinstance(place, str) else bytes(place).decode(errors="surrogateescape")))


class Watch:
    """Calls `changed` with the path of each file that was written, and, where that can be told, `coming` with each that
    somebody begins to write, on a thread of its own, until `stop`.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        changed: Callable[[Path], None],
        coming: Callable[[Path], None] = lambda path: None,
        inotify: type[Inotify] = Inotify,
    ) -> None:
        """The directories are made where they are missing. Raises OSError; where `inotify` does, it is polled."""
        self._places, self._changed, self._coming = sorted(set(directories)), changed, coming
        self._inotify = inotify
        self._start()

    def renew(self) -> None:
        """Watch anew where a directory is another one than before: inotify goes on with the one that was removed.

        A directory that is made again may get the inode of the old one; but then the old one's watch has ended.
        """
        with contextlib.suppress(OSError):  # next time
            if self._seen() != self._watched or not self._watcher.whole:
                self.stop()
                self._start()

    def stop(self) -> None:
        self._watcher.stop()

    def _start(self) -> None:
        self._watched = self._seen()
        self._watcher: Inotify | PollingWatch
        try:
            self._watcher = self._inotify(self._places, self._changed, self._coming)
        except OSError:
            self._watcher = PollingWatch(self._places, self._changed)

    def _seen(self) -> list[tuple[int, int]]:
        for place in self._places:
            trust.make_directory(place, 0o750)
        return [(found.st_dev, found.st_ino) for found in map(os.stat, self._places)]


class PollingWatch:
    """As Inotify, by a look every POLL s."""

    def __init__(self, places: Iterable[Path], changed: Callable[[Path], None]) -> None:
        self._observer = PollingObserver(timeout=POLL)
        for place in places:
            self._observer.schedule(_Handler(changed), str(place), recursive=False)
        self._observer.daemon = True
        self._observer.start()

    @property
    def whole(self) -> bool:
        return all(emitter.is_alive() for emitter in self._observer.emitters)

    def stop(self) -> None:
        self._observer.stop()
