"""From lines to an Answer, for every notation: an unchanged line costs one dict look-up."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum

from consul_kam.core.records import Answer, Problem, Record, Source
from consul_kam.errors import ListError

MAX_BYTES = 64 * 2**20
"""The longest list file, bytes: 10,000 records as long as Kamailio's longest line are 10 MiB."""


class Nothing(Enum):
    """What a blank line or a comment says."""

    HERE = "nothing here"


@dataclass(frozen=True, slots=True)
class Bad:
    """A line that gives no record, and why; `column` counts from 1."""

    column: int
    reason: str
    source: Source | None = None
    group: str = ""


Entry = Record | Bad | Nothing


class LineCache:
    """What each line said when it was last read. Bounded: the lines of the newest reading of each of CONTEXTS files."""

    CONTEXTS = 16

    def __init__(self) -> None:
        self._known: dict[Hashable, dict[bytes, Entry]] = {}

    def read(self, context: Hashable, lines: Sequence[bytes], read: Callable[[bytes], Entry]) -> list[Entry]:
        """One entry for each line. `context` is all but the line itself that `read` depends on."""
        known = self._known.pop(context, {})
        found = list(map(known.get, lines))
        entries = [read(line) if entry is None else entry for line, entry in zip(lines, found, strict=True)]
        self._known[context] = dict(zip(lines, entries, strict=True))
        while len(self._known) > self.CONTEXTS:
            del self._known[next(iter(self._known))]
        return entries


def answer(file: str, entries: Sequence[Entry], first: int = 1, native: bool = False) -> Answer:
    """The answer of one file; `first`: the number of the first entry's line."""
    if set(map(type, entries)) == {Record}:  # the usual case, at once
        return Answer(tuple(entries), (), native, file, tuple(range(first, first + len(entries))))  # type: ignore[arg-type]
    records = [entry for entry in entries if isinstance(entry, Record)]
    problems = [
        Problem(file, number, entry.column, entry.reason, entry.source, entry.group)
        for number, entry in enumerate(entries, first)
        if isinstance(entry, Bad)
    ]
    lines = tuple(number for number, entry in enumerate(entries, first) if isinstance(entry, Record))
    return Answer(tuple(records), tuple(problems), native, file, lines)


def part_of(file: str) -> str:
    """The data centre in the name of a staging file: "staging/dispatcher@dc2" -> "dc2", else ""."""
    return file.rpartition("/")[2].partition("@")[2]


def is_staging(data: bytes) -> bool:
    """Whether this is JSON Lines as our templates write them; all else is in Kamailio's own format."""
    return data.lstrip()[:1] == b"{"


def check_size(file: str, data: bytes) -> None:
    """Raises ListError for a file that holds nothing or too much."""
    if not data.strip(b" \t\r\n"):
        raise ListError(file, 0, 0, "it is empty: it would wipe the whole list; render it again")
    if len(data) > MAX_BYTES:
        raise ListError(file, 0, 0, f"it is {len(data)} bytes long, allowed: {MAX_BYTES}")
