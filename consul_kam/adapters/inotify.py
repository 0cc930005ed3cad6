"""inotify(7), as much of it as a staging directory needs: which files are whole now.

Not by watchdog's observer, which serves everything else that there is to a directory: it wakes us for each opening and
reading of ours, hands a sign from thread to thread (0.3 ms of the few that a change may take), and holds a rename for
up to 0.5 s where it has not seen both halves of it yet.
"""

import ctypes
import os
import select
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

_CLOSE_WRITE, _MOVED_TO, _CREATE, _OVERFLOW, _IGNORED = 0x8, 0x80, 0x100, 0x4000, 0x8000
_WATCHED = _CLOSE_WRITE | _MOVED_TO | _CREATE
_HEAD = struct.Struct("iIII")
"""wd, mask, cookie, length of the name with its zero bytes [linux/inotify.h]."""
_BUFFER = 64 * 1024


class Inotify:
    """Calls `changed` with the path of each file that was renamed into one of `places` or closed after writing, on a
    thread of its own, until `stop`. Where the kernel lost signs, with every file that is there. Calls `coming` with
    each that somebody begins to write.
    """

    def __init__(
        self,
        places: Sequence[Path],
        changed: Callable[[Path], None],
        coming: Callable[[Path], None] = lambda path: None,
    ) -> None:
        """Raises OSError where the kernel gives no (further) watch."""
        libc = ctypes.CDLL(None, use_errno=True)
        self._changed, self._coming = changed, coming
        self.whole = True
        """Whether all places are still watched; a directory that is removed is not."""
        self._inotify = _checked(libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify")
        self._end = os.eventfd(0)
        try:
            self._places = {
                _checked(libc.inotify_add_watch(self._inotify, os.fsencode(place), _WATCHED), place): place
                for place in places
            }
        except OSError:
            self._close()
            raise
        threading.Thread(target=self._serve, name="staging", daemon=True).start()

    def stop(self) -> None:
        """From any thread; a call of `changed` that is under way ends as it does."""
        os.eventfd_write(self._end, 1)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._inotify, select.POLLIN)
        poll.register(self._end, select.POLLIN)
        while not any(descriptor == self._end for descriptor, _ in poll.poll()):
            signs = dict.fromkeys(self._files(os.read(self._inotify, _BUFFER)))
            for path, whole in signs:
                if whole:
                    self._changed(path)
                elif (path, True) not in signs:  # else it is there already
                    self._coming(path)
        self._close()

    def _files(self, signs: bytes) -> Iterator[tuple[Path, bool]]:
        """(file, whether it is whole)."""
        place = 0
        while place < len(signs):
            watch, mask, _, length = _HEAD.unpack_from(signs, place)
            name = signs[place + _HEAD.size : place + _HEAD.size + length].rstrip(b"\0")
            place += _HEAD.size + length
            self.whole = self.whole and not mask & _IGNORED
            if mask & _OVERFLOW:
                for directory in self._places.values():
                    yield from ((path, True) for path in directory.iterdir())
            elif mask & _WATCHED:
                yield self._places[watch] / os.fsdecode(name), not mask & _CREATE

    def _close(self) -> None:
        os.close(self._inotify)
        os.close(self._end)


def _checked(result: int, what: object) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(what))
    return result
