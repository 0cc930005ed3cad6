"""The journal: one JSON object a line, every step of every release."""

import contextlib
import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from consul_kam.adapters import files

LARGEST = 8 * 2**20
"""Bytes; above this the file becomes journal.jsonl.1 and a new one is begun."""


class Journal:
    """Appends entries; not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, entry: dict[str, Any]) -> None:
        """Append one entry. Raises OSError."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise files.Unusable(errno.EINVAL, "it is no regular file; remove it", str(self._path))
            file.write(json.dumps(entry).encode() + b"\n")
            full = file.tell() > LARGEST
        if full:
            self._path.replace(self._path.with_name(self._path.name + ".1"))

    def tail(self, limit: int, dataset: str | None = None) -> list[dict[str, Any]]:
        """The newest `limit` entries, of one dataset or of all, oldest first. Raises OSError.

        A line that a crash cut short is left out.
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
            if isinstance(entry, dict) and dataset in (None, entry.get("dataset")):
                entries.append(entry)
        return entries[::-1]
