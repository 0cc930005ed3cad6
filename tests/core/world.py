"""A small world around the release machine: disk, Kamailio and the shell, all in values, with faults at any point.

Model time stands still but for timers: a world is always at time 0, and what lies ahead or behind is kept relative to
it, so that equal situations are equal values. The shell obeys what docs/architecture asks of it: results come in the
order of the actions, a `Refuse` is answered by `Wanted` before anything else, and a fresh engine takes over what the
disk says: the last known good, and the marks of live file and last known good together.
"""

from dataclasses import dataclass, field
from functools import cache

from consul_kam.core import events as e
from consul_kam.core.change import Base
from consul_kam.core.records import Key, Memory, Record, Release
from consul_kam.core.state import State

GAP = 1.0
WINDOW = 2.0
NO_KEYS: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Row:
    """One record: its name, its value, whether the release wants it disabled."""

    name: str
    value: str = "v"
    disabled: bool = False

    @property
    def key(self) -> Key:
        """As Kamailio knows it."""
        return (self.name,)


@dataclass(frozen=True)
class Universe:
    """What may be staged, in this order; the name that Kamailio refuses, the value that it changes on loading.

    `insists`: the guards do not allow to go on without a refused record. `by_key`: changes may go key by key; then
    the names of each version stand in their order.
    """

    versions: tuple[tuple[Row, ...], ...]
    refuses: str = ""
    garbles: str = ""
    insists: bool = False
    by_key: bool = False

    @property
    def gap(self) -> float:
        """Seconds between two writes; none where keys are changed one by one."""
        return 0.0 if self.by_key else GAP

    def loads(self, version: int) -> bool:
        """Whether this version, less what may be left out, is ever found in memory."""
        rows = self.versions[version]
        refused = self.insists and any(row.name == self.refuses for row in rows)
        return not refused and all(row.value != self.garbles for row in rows)


@cache
def release(rows: tuple[Row, ...], refused: frozenset[Key] = NO_KEYS, copy: int = 0) -> Release:
    """The shell's plan. `copy` makes another object that is equal."""
    rows = tuple(row for row in rows if row.key not in refused)
    records = tuple(Record(row.key, "1", (row.value,), f"{row.name} {row.value}", (row.name,)) for row in rows)
    digest = " ".join(record.line + "/D" * row.disabled for record, row in zip(records, rows, strict=True))
    return Release(digest, records, frozenset(row.key for row in rows if row.disabled), refused=tuple(refused))


@dataclass(frozen=True)
class File:
    """The live file: its rows, what it marks as ours, and which release it is the canonical form of."""

    rows: Memory = ()
    ours: frozenset[Key] = NO_KEYS
    by_operator: frozenset[Key] = NO_KEYS
    """Rows that are disabled because somebody did it by hand: not written there, but the truth."""
    canonical: str | None = None


@dataclass(frozen=True)
class World:
    """Everything, the engine's state included. Times are seconds from now on, or ago."""

    universe: Universe
    engine: State
    doing: e.DoRead | e.DoWrite | e.DoApply | e.DoPublish | None = None
    timer: e.Arm | None = None
    staged: int = 0
    refused: frozenset[Key] = NO_KEYS
    retried: bool = False
    live: File = File()
    lkg: Release | None = None
    lkg_ours: frozenset[Key] = NO_KEYS
    base: Base = field(default_factory=Base)
    memory: Memory = ()
    up: bool = True
    by_operator: frozenset[Key] = NO_KEYS
    """Keys that are disabled in memory because somebody did it by hand."""
    read_by_operator: frozenset[Key] = NO_KEYS
    """The same, as of the last read."""
    applied_ago: float = GAP
    wrote_ago: float = GAP
    window: float = 0.0

    def __hash__(self) -> int:
        """A few parts that differ most: a hash of all would take most of the search's time."""
        state = self.engine
        parts = (state.phase, state.tries, state.standin, state.published, state.not_before, self.staged, self.up)
        return hash((*parts, type(self.doing), self.memory, self.live.rows, self.live.canonical, self.window))

    def __str__(self) -> str:
        state, live = self.engine, self.live
        wants = state.newest and state.newest.digest
        return (
            f"{state.phase.name} newest [{wants}] target [{state.target and state.target.digest}]"
            f" tries {state.tries} standin {state.standin} published {state.published} ours {_names(state.ours)}"
            f" not before {state.not_before} doing {type(self.doing).__name__} | memory [{_lines(self.memory)}]"
            f" up {self.up} by operator {_names(self.by_operator)} | live [{_lines(live.rows)}] {live.canonical}"
            f" ours {_names(live.ours)} | lkg [{self.lkg and self.lkg.digest}] ours {_names(self.lkg_ours)}"
        )


def _lines(memory: Memory) -> str:
    return " ".join(f"{row.key[0]} {row.seen[0]}{'/D' * row.disabled}" for row in memory)


def _names(keys: frozenset[Key]) -> str:
    return "{" + " ".join(sorted(str(key[0]) for key in keys)) + "}"


def fresh(universe: Universe) -> World:
    """Nothing was ever staged, written or loaded."""
    return World(universe, State(gap=lambda records: universe.gap, ordered=not universe.by_key))


def disabled(memory: Memory) -> frozenset[Key]:
    return frozenset(row.key for row in memory if row.disabled)
