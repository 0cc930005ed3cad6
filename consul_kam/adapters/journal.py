"""The journal: one JSON object a line, every step of every release."""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any, BinaryIO, cast

from consul_kam.adapters import files

LARGEST = 8 * 2**20
"""Bytes; above this the file becomes journal.jsonl.1 and a new one is begun."""
CHUNK = 2**20
"""Bytes read at once by who follows."""


class Journal:
    """Appends entries; not for two threads at once. `largest`: bytes after which a new file is begun."""

    def __init__(self, path: Path, largest: int | None = None) -> None:
        self._path, self._largest = path, LARGEST if largest is None else largest

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry. Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise files.Unusable(errno.EINVAL, "it is no regular file; remove it", str(self._path))
            file.write(json.dumps(entry).encode() + b"\n")
            full = file.tell() > self._largest
        if full:
            self._path.replace(self._path.with_name(self._path.name + ".1"))

    def tail(self, limit: int, dataset: str | None = None, since: float = 0.0) -> list[dict[str, Any]]:
        """The newest `limit` entries, of one dataset or of all, oldest first. Raises OSError.

        `since`: none that is older (s since 1970). A line that a crash cut short is left out.
        """
        lines: list[bytes] = []
        for path in (self._path.with_name(self._path.name + ".1"), self._path):
            with contextlib.suppress(FileNotFoundError):
                lines += files.read_regular(path, 2 * LARGEST).splitlines()
        entries: list[dict[str, Any]] = []
        for line in reversed(lines):
            if len(entries) >= limit:
                break
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict) and wanted(entry, dataset, since):
                entries.append(entry)
        return entries[::-1]


def wanted(entry: Mapping[str, Any], dataset: str | None, since: float, until: float = inf) -> bool:
    """Whether an entry is of this dataset (None: any) and of this time; one that tells none is of 1970."""
    at = entry.get("at")
    moment = float(at) if isinstance(at, int | float) else 0.0
    return dataset in (None, entry.get("dataset")) and since <= moment <= until


class Follower:
    """Reads the journal from its oldest entry on, and then what is written since; not for two threads at once.

    It goes on in the file that comes next where one was full, whoever writes it, and from the first where the state
    directory was made anew. Only where two files fill up between two `read`s is one of them missed.
    """

    def __init__(self, path: Path) -> None:
        self._places = (path, path.with_name(path.name + ".1"))
        self._file: BinaryIO | None = None
        self._rest = b""
        self.damaged = 0
        """Lines so far that are no entries, as a crash leaves them."""

    def read(self) -> Iterator[dict[str, Any]]:
        """All entries that are there by now and were not read before. Raises OSError."""
        while True:
            yield from self._entries()
            following = self._following()
            if following is None:
                return
            yield from self._entries()  # what was still written there before it was full
            self.damaged += bool(self._rest)
            self.close()
            self._file = following

    def close(self) -> None:
        """Forget the place; the next `read` begins anew."""
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _following(self) -> BinaryIO | None:
        # The newer one first: what is renamed in between is seen twice rather than not at all.
        found = {file: _identity(file) for path in self._places if (file := _opened(path)) is not None}
        oldest_first = list({identity: file for file, identity in found.items()}.values())[::-1]
        mine = _identity(self._file) if self._file is not None else None
        places = [index for index, file in enumerate(oldest_first) if found[file] == mine]
        later = oldest_first[places[0] + 1 :] if places else oldest_first
        for file in found:
            if file not in later[:1]:
                file.close()
        return later[0] if later else None

    def _entries(self) -> Iterator[dict[str, Any]]:
        file = self._file
        if file is None:
            return
        if os.fstat(file.fileno()).st_size < file.tell():  # somebody emptied it
            file.seek(0)
        while chunk := file.read(CHUNK):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in filter(None, lines):
                entry = _entry(line)
                if entry is None:
                    self.damaged += 1
                else:
                    yield entry
            if len(self._rest) > LARGEST:
                self.damaged, self._rest = self.damaged + 1, b""


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _opened(path: Path) -> BinaryIO | None:
    """None where it is not there. Raises OSError, Unusable for what is no regular file."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):  # opening a device may already do something
            raise files.Unusable(errno.EINVAL, "it is no regular file", str(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return cast(BinaryIO, os.fdopen(descriptor, "rb", buffering=0))


def _identity(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino
