"""The values that flow through the pipeline; design.md section 2 holds the vocabulary.

staging bytes -> Answer (records, problems) -> Release (what memory shall hold) <-> Memory (in Kamailio's order)
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple

Key = tuple[str | int, ...]
"""What a record is known by in Kamailio's memory, e.g. (1, "sip:10.0.0.1:5060"); unique within a dataset."""


Share = tuple[str, int]
"""(attribute, weight as Consul gives it)."""


class Use(Enum):
    """What the policy of the record's set makes of its status in Consul."""

    IN = "in"
    """Routed to."""
    KEPT = "kept"
    """In maintenance, in a list that can keep no record uncalled: in use until it deregisters, and then not held."""
    DRAINING = "draining"
    """In maintenance: kept as disabled, so that its in-dialog requests pass, until it deregisters."""
    DISABLED = "disabled"
    """Critical under `critical = "disable"`: known, but not called."""
    OUT = "out"
    """Known to Consul, not wanted in Kamailio."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a record comes from. No part of a digest or a comparison."""

    service: str = ""
    id: str = ""
    node: str = ""
    dc: str = ""
    status: str = ""

    def __str__(self) -> str:
        place = f"{self.service}/{self.id}" if self.service else self.id or "static"
        text = place + (f" on {self.node}" if self.node else "") + (f" in {self.dc}" if self.dc else "")
        # whoever registers a service chooses these: no line of our own, no escape sequence
        return text if text.isprintable() else ascii(text)[1:-1]


class Host(NamedTuple):
    """What a load needs: a host name to look up, an IP address (IPv6 in brackets) or a name to connect a socket to."""

    name: str
    family: Literal[0, 4, 6] = 0
    """4, 6: a UDP socket of this IP version is connected to what it resolves to; 0: it is looked up, no more."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Record:
    """One validated entry of a list.

    `seen` is what Kamailio gives back about it, normalised, so that `(key, seen)` of a record equals that of memory;
    `line` is its canonical line in Kamailio's own format (no newline, no state); `sort` is its wanted place in memory.
    """

    key: Key
    group: str
    seen: tuple[object, ...]
    line: str
    sort: tuple[str | int, ...]
    use: Use = Use.IN
    host: Host | None = None
    """Without it Kamailio cannot load the record."""
    pinged_name: str = ""
    """The host name that Kamailio looks up while it uses the record, not at a load (dispatcher flag 16), or ""."""
    source: Source = field(default=Source(), compare=False)
    part: str = field(default="", compare=False)
    """The staging file it came in, where a dataset has several: "" or what follows the "@"."""
    share: Share | None = field(default=None, compare=False)
    """What `Dataset.settled` makes fit with the others of its group."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One entry of Kamailio's memory, as read back. `state`: Kamailio's word for it (FLAGS of dispatcher), or ""."""

    key: Key
    seen: tuple[object, ...]
    state: str = ""
    disabled: bool = False


Memory = tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that is not loaded, and why. Lines and columns count from 1; `source` is shown where known."""

    file: str
    line: int
    column: int
    reason: str
    source: Source | None = None
    group: str = ""
    key: Key | None = None

    def __str__(self) -> str:
        who = f" ({self.source})" if self.source is not None else ""
        return f"cannot use {self.file}:{self.line}:{self.column}: {self.reason}{who}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one staging file said: every well-formed record whatever its use, twins too, and the bad ones."""

    records: tuple[Record, ...]
    problems: tuple[Problem, ...] = ()
    native: bool = False
    """In Kamailio's own format, written by a template of the user's: not injection-proof."""
    file: str = ""
    lines: tuple[int, ...] = ()
    """The line of each record in `file`, where known."""


@dataclass(frozen=True, slots=True)
class Release:
    """One version of a dataset: what memory shall hold, in the wanted order.

    `digest` covers the records (key, line) and `disabled`, nothing else. `why` tells of the held keys for people.
    """

    digest: str
    records: tuple[Record, ...]
    disabled: frozenset[Key] = frozenset()
    held: Mapping[Key, str] = field(default_factory=dict, compare=False)
    refused: tuple[Key, ...] = field(default=(), compare=False)
    dropped: tuple[Problem, ...] = field(default=(), compare=False)
    named: Mapping[Key, str] = field(default_factory=dict, compare=False)
    """Draining records that stay in use because they are the last ones of their set, with the reason."""
