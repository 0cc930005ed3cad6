"""Watching the staging directories: inotify by watchdog, polling where inotify fails."""

from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileClosedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

POLL = 1.0
"""Seconds between looks where inotify does not work (some network and FUSE file systems, exhausted watches)."""


class _Handler(FileSystemEventHandler):
    """consul-template renames a finished file into place; an editor or `cp` closes it after writing."""

    def __init__(self, changed: Callable[[Path], None]) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.is_directory or event.event_type in ("opened", "closed_no_write"):
            return
        place = event.dest_path if isinstance(event, FileMovedEvent) else event.src_path
        if isinstance(event, (FileMovedEvent, FileClosedEvent)) or event.event_type in ("created", "modified"):
            self._changed(Path(place if isinstance(place, str) else bytes(place).decode(errors="surrogateescape")))


def watch(directories: Iterable[Path], changed: Callable[[Path], None]) -> BaseObserver:
    """Call `changed` with the path of each file that was written, on a thread of the observer's.

    The caller stops the returned observer. The directories must exist.
    """
    places = sorted(set(directories))
    try:
        return _start(Observer(), places, changed)
    except OSError:
        return _start(PollingObserver(timeout=POLL), places, changed)


def _start(observer: BaseObserver, places: list[Path], changed: Callable[[Path], None]) -> BaseObserver:
    handler = _Handler(changed)
    for place in places:
        observer.schedule(handler, str(place), recursive=False)
    observer.daemon = True
    observer.start()
    return observer
