"""Watching the staging directories: inotify by watchdog, polling where inotify fails."""

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from consul_kam.adapters import trust

POLL = 1.0
"""Seconds between looks where inotify does not work (some network and FUSE file systems, exhausted watches)."""


class _Handler(FileSystemEventHandler):
    """consul-template renames a finished file into place; an editor or `cp` closes it after writing.

    What is moved in from another directory shows as created. Each piece that is written shows as modified: only where
    nothing tells of the end of writing is that a sign.
    """

    def __init__(self, changed: Callable[[Path], None], polling: bool) -> None:
        self._changed = changed
        self._signs = (
            ("created", "modified") if polling else ("created", FileMovedEvent.event_type, FileClosedEvent.event_type)
        )

    def on_any_event(self, event: FileSystemEvent) -> None:
        if not event.is_directory and event.event_type in self._signs:
            place = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
            self._changed(Path(place if isinstance(place, str) else bytes(place).decode(errors="surrogateescape")))


class Watch:
    """Calls `changed` with the path of each file that was written, on a thread of the observer's, until `stop`."""

    def __init__(self, directories: Iterable[Path], changed: Callable[[Path], None]) -> None:
        """The directories are made where they are missing. Raises OSError."""
        self._places, self._changed = sorted(set(directories)), changed
        self._start()

    def renew(self) -> None:
        """Watch anew where a directory is another one than before: inotify goes on with the one that was removed.

        A directory that is made again may get the inode of the old one; but then the old one's emitter has ended.
        """
        with contextlib.suppress(OSError):  # next time
            if self._seen() != self._watched or not all(emitter.is_alive() for emitter in self._observer.emitters):
                self.stop()
                self._start()

    def stop(self) -> None:
        self._observer.stop()

    def _start(self) -> None:
        self._watched = self._seen()
        try:
            self._observer = _observe(Observer(), self._places, self._changed)
        except OSError:
            self._observer = _observe(PollingObserver(timeout=POLL), self._places, self._changed)

    def _seen(self) -> list[tuple[int, int]]:
        for place in self._places:
            trust.make_directory(place, 0o750)
        return [(found.st_dev, found.st_ino) for found in map(os.stat, self._places)]


def _observe(observer: BaseObserver, places: list[Path], changed: Callable[[Path], None]) -> BaseObserver:
    handler = _Handler(changed, isinstance(observer, PollingObserver))
    for place in places:
        observer.schedule(handler, str(place), recursive=False)
    observer.daemon = True
    observer.start()
    return observer
