"""What the release machine knows, and what can be asked of it; release.py says what happens next.

Also how a handler declares where it may lead: the diagram in docs/state-machine.md and `release.step` go by it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from consul_kam.core.backoff import backoff
from consul_kam.core.compare import Difference, difference, equal
from consul_kam.core.events import Action, Arm, DoRead, Event, Phase, Report, Retry, Verdict, WindowOpen
from consul_kam.core.records import Key, Memory, Release

TRIES = 2
"""Writes of one target before its missing records count as refused: the first, and one corrective."""

SLOW_NAME, SLOWEST = 10.0, 60.0
"""Seconds that the gap grows for each host name that a silent resolver holds up, at most: Kamailio resolves such names
inside its ping walk, and a write during that walk kills it (docs/findings.md, "Names break it"; resolv.conf's default
is two tries of 5 s)."""


@dataclass(frozen=True, slots=True)
class State:
    """All that the machine knows. A fresh one with `lkg` and `ours` from disk is all that a restart needs."""

    gap: Callable[[int], float] = field(default=lambda records: 0.0, compare=False)
    """Seconds to keep between two writes of a list of so many records."""
    ordered: bool = False
    halted: bool = False
    phase: Phase = Phase.IDLE
    op: int = 0
    newest: Release | None = None
    target: Release | None = None
    lkg: Release | None = None
    published: bool = False
    """Whether this very target was verified and is on disk."""
    standin: bool = False
    """The target is the last known good, put back for a newer one that failed."""
    ours: frozenset[Key] = frozenset()
    """Keys that are disabled because we did it."""
    tries: int = 0
    failures: int = 0
    slow: float = 0.0
    """Seconds by which the gap after this write is longer, because a ping walk may wait for a resolver."""
    not_before: float = 0.0
    """No write before this time."""
    waits_for: str = ""
    """In WAITING: "window", "kamailio" or "names"; kept until Kamailio was read, so that it is reported once."""
    trouble: str = ""
    """Why it is DEGRADED, or why the last known good stands in."""
    memory: Memory | None = None
    read_at: float = field(default=0.0, compare=False)
    """When `memory` came, for whoever is shown it."""


Step = tuple[State, tuple[Action, ...]]
Handler = Callable[[State, Event, float], Step]
GOES: dict[str, tuple[Phase, ...]] = {}
"""Handler name -> the phases it may lead to, for the generated diagram and for `step`'s check."""


def leads_to(*phases: Phase) -> Callable[[Callable[..., Step]], Callable[..., Step]]:
    """Declare where a handler may lead; no phase means that it stays."""

    def declare(handler: Callable[..., Step]) -> Callable[..., Step]:
        GOES[handler.__name__] = phases
        return handler

    return declare


def enable(state: State) -> frozenset[Key]:
    """Keys whose disabled state was ours and that the target wants in use again."""
    return state.ours - state.target.disabled if state.target is not None else frozenset()


def matches(state: State, memory: Memory) -> bool:
    """Whether memory is as the target wants it; most answers are no, and cheap."""
    assert state.target is not None
    return equal(state.target, memory, enable(state), state.ordered)


def compare(state: State, memory: Memory) -> Difference:
    """What is wrong with memory, by the target."""
    assert state.target is not None
    return difference(state.target, memory, enable(state), state.ordered)


def still_ours(state: State) -> frozenset[Key]:
    """What is disabled by us where memory is as the target wants it."""
    assert state.target is not None
    return state.ours & state.target.disabled


def after_write(state: State, now: float) -> State:
    """A reload may have happened: the gap runs."""
    assert state.target is not None
    longest = max(len(state.target.records), len(state.memory or ()))
    return replace(state, not_before=now + state.gap(longest) + state.slow)


def claimed(state: State) -> frozenset[Key]:
    """What is disabled by us in memory, or will be once the target is loaded.

    Not what was disabled before: an operator's own stay the operator's. Said from the moment of writing on, because
    Kamailio may load the file without us; kept until published, because until then memory may still be as it was.
    """
    assert state.target is not None
    disabled_before = {entry.key for entry in state.memory or () if entry.disabled}
    return state.ours | (state.target.disabled - disabled_before)


# --- the steps that several handlers take ---------------------------------------------------------------------------


def to_reading(state: State, first: tuple[Action, ...] = (), **changes: object) -> Step:
    op, trouble = state.op + 1, state.trouble if state.standin else ""
    reading = replace(state, phase=Phase.READING, op=op, trouble=trouble, **changes)  # type: ignore[arg-type]
    return reading, (*first, DoRead(op))


def to_waiting(state: State, reason: str, at: float, *first: Action, **changes: object) -> Step:
    op = state.op + 1
    event = WindowOpen(op) if reason == "window" else Retry(op)
    waiting = replace(state, phase=Phase.WAITING, op=op, waits_for=reason, **changes)  # type: ignore[arg-type]
    return waiting, (*first, Arm(event, at))


def to_degraded(state: State, reason: str, now: float, diff: Difference | None = None) -> Step:
    op, failures = state.op + 1, state.failures + 1
    degraded = replace(state, phase=Phase.DEGRADED, op=op, failures=failures, tries=0, waits_for="", trouble=reason)
    release = state.newest if state.standin else state.target
    return degraded, (Report(Verdict.DEGRADED, release, reason, diff), Arm(Retry(op), now + backoff(failures)))


def to_rest(state: State, *actions: Action) -> Step:
    """IDLE, unless something newer came meanwhile, or another Kamailio."""
    if state.newest is not state.target or state.memory is None:
        return to_reading(state, actions)
    return replace(state, phase=Phase.IDLE, op=state.op + 1, failures=0, tries=0), actions
