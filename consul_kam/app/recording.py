"""What is staged, kept for `consul-kam replay`: one JSON object a line, read again by `recorded`."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import IO

from consul_kam.adapters.files import LARGEST as LARGEST_LIST
from consul_kam.adapters.journal import Journal
from consul_kam.app.loop import Worker
from consul_kam.errors import ListError

LARGEST = 64 * 2**20
"""Bytes; above this the file becomes FILE.1 and a new one is begun."""
BACKLOG = 20
"""Staging files that may wait for the disk; further ones are lost, which is said."""
LONGEST = 8 * LARGEST_LIST
"""Bytes of a line: a byte that is no UTF-8 takes six."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A staging file at one moment. `at`: s since 1970, or since whenever the recording began."""

    at: float
    dataset: str
    part: str
    content: bytes


class Recorder:
    """Writes on a thread of its own; `warn` is told once that it cannot, and once that it can again."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self._path, self._warn = path, warn
        self._file, self._worker = Journal(path, LARGEST), Worker("record", BACKLOG)
        self._trouble, self._lost = "", 0

    def staged(self, dataset: str, part: str, content: bytes) -> None:
        """From any thread; never blocks."""
        at = time.time()
        self._worker.submit(lambda: self._write(Staged(at, dataset, part, content)))

    def close(self) -> None:
        self._worker.close(2.0)

    def _write(self, staged: Staged) -> None:
        content = staged.content.decode("utf-8", "surrogateescape")
        trouble = ""
        try:
            self._file.write({"at": staged.at, "dataset": staged.dataset, "part": staged.part, "content": content})
        except OSError as error:
            trouble = f"cannot record to {self._path}: {error.strerror or error}"
        if trouble != self._trouble:
            self._warn(trouble or f"recording to {self._path} again")
        self._trouble = trouble
        if self._worker.dropped > self._lost:
            self._warn(
                f"cannot record to {self._path}: {self._worker.dropped - self._lost} staging files came too fast"
            )
            self._lost = self._worker.dropped


def recorded(name: str, file: IO[bytes]) -> Iterator[Staged]:
    """What a recording holds. A clock that was set back stands still. Raises ListError, OSError."""
    number, newest = 0, 0.0
    while line := file.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise ListError(name, number, 0, f"the line is longer than {LONGEST} bytes")
        if line.strip():
            found = _staged(name, number, line)
            newest = max(newest, found.at)
            yield Staged(newest, found.dataset, found.part, found.content)


def _staged(name: str, number: int, line: bytes) -> Staged:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise ListError(name, number, 0, "it is no JSON") from None
    if not isinstance(found, dict):
        raise ListError(name, number, 0, "expected an object")
    at, dataset, part, content = (found.get(key) for key in ("at", "dataset", "part", "content"))
    if not isinstance(at, int | float) or isinstance(at, bool) or not 0 <= at < 1e11 or not isfinite(at):
        raise ListError(name, number, 0, f"at: expected seconds, got {at!r:.50}")
    for key, value in (("dataset", dataset), ("content", content), ("part", "" if part is None else part)):
        if not isinstance(value, str):
            raise ListError(name, number, 0, f"{key}: expected text, got {value!r:.50}")
    try:
        raw = str(content).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ListError(name, number, 0, "content: a surrogate stands alone") from None
    return Staged(float(at), str(dataset), str(part or ""), raw)
