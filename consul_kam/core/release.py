"""The release machine: drives Kamailio's memory to what it shall hold, one dataset each. Design.md section 3.

Everything that decides what happens next is in this file, as one TABLE of (phase, event) -> handler. `step` is pure:
(state, event, now) -> (state, actions). It is level-triggered: nothing is remembered of half-done steps; every way out
of trouble is "read memory again, compare, go on from there". `now` is in seconds and only ever compared with itself.

Results of actions carry the operation number (`op`) of the action; a result with another number is late and ignored.
docs/state-machine.md is generated from TABLE and from what each handler declares with `leads_to`; `step` holds every
handler to its word.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from consul_kam.core import events
from consul_kam.core.backoff import backoff
from consul_kam.core.compare import Difference, difference, equal
from consul_kam.core.events import (
    Action,
    Applied,
    Arm,
    Busy,
    DoApply,
    DoPublish,
    DoRead,
    DoWrite,
    Event,
    Faulted,
    Halt,
    KamailioDown,
    KamailioUp,
    Phase,
    Published,
    PublishFailed,
    Read,
    ReadFailed,
    Refuse,
    Report,
    Retry,
    Unreachable,
    Unresolve,
    Unresolved,
    Verdict,
    Wanted,
    WindowOpen,
    WriteFailed,
    Wrote,
)
from consul_kam.core.records import Key, Memory, Release
from consul_kam.errors import InvalidTransition

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


# --- handlers ----------------------------------------------------------------------------------------------------


def _read(state: State, first: tuple[Action, ...] = (), **changes: object) -> Step:
    op, trouble = state.op + 1, state.trouble if state.standin else ""
    reading = replace(state, phase=Phase.READING, op=op, trouble=trouble, **changes)  # type: ignore[arg-type]
    return reading, (*first, DoRead(op))


def _wait(state: State, reason: str, at: float, *first: Action, **changes: object) -> Step:
    op = state.op + 1
    event = WindowOpen(op) if reason == "window" else Retry(op)
    waiting = replace(state, phase=Phase.WAITING, op=op, waits_for=reason, **changes)  # type: ignore[arg-type]
    return waiting, (*first, Arm(event, at))


def _degrade(state: State, reason: str, now: float, diff: Difference | None = None) -> Step:
    op, failures = state.op + 1, state.failures + 1
    degraded = replace(state, phase=Phase.DEGRADED, op=op, failures=failures, tries=0, waits_for="", trouble=reason)
    release = state.newest if state.standin else state.target
    return degraded, (Report(Verdict.DEGRADED, release, reason, diff), Arm(Retry(op), now + backoff(failures)))


def _rest(state: State, *actions: Action) -> Step:
    """IDLE, unless something newer came meanwhile, or another Kamailio."""
    if state.newest is not state.target or state.memory is None:
        return _read(state, actions)
    return replace(state, phase=Phase.IDLE, op=state.op + 1, failures=0, tries=0), actions


@leads_to()
def stay(state: State, event: Event, now: float) -> Step:
    """Ignored here, on purpose."""
    return state, ()


@leads_to(Phase.READING)
def look(state: State, event: Event, now: float) -> Step:
    return _read(state, tries=0)


@leads_to(Phase.READING)
def take_up(state: State, event: Wanted, now: float) -> Step:
    return _read(*note(state, event, now))


@leads_to()
def note(state: State, event: Wanted, now: float) -> Step:
    """Taken up at the next READING: the newest wins, there is no queue."""
    standin = state.standin and state.newest is not None and state.newest.digest == event.release.digest
    return replace(state, newest=event.release, standin=standin), _superseded(state, event.release)


@leads_to(Phase.READING)
def note_in_waiting(state: State, event: Wanted, now: float) -> Step:
    """A closed window stays closed; a name that did not resolve may be gone from the newest, if it is another one."""
    other = state.newest is None or state.newest.digest != event.release.digest
    return take_up(state, event, now) if state.waits_for == "names" and other else note(state, event, now)


def _superseded(state: State, newer: Release) -> tuple[Action, ...]:
    older = state.newest
    if older is None or older.digest == newer.digest or (state.published and older is state.target):
        return ()
    return (Report(Verdict.SUPERSEDED, older),)


@leads_to(Phase.WAITING)
def down(state: State, event: Event, now: float) -> Step:
    reason = getattr(event, "reason", "")
    failures = state.failures + 1
    report = (
        () if state.waits_for == "kamailio" else (Report(Verdict.BUSY, state.newest, reason or "Kamailio is away"),)
    )
    return _wait(
        state, "kamailio", now + backoff(failures, longest=2.0), *report, tries=0, failures=failures, memory=None
    )


@leads_to()
def forget_memory(state: State, event: KamailioDown | KamailioUp, now: float) -> Step:
    """The disk is at work: nothing else may start before it is done, then memory is read again."""
    return replace(state, memory=None), ()


@leads_to(Phase.READING)
def woken(state: State, event: WindowOpen | Retry, now: float) -> Step:
    return _read(state)


@leads_to()
def halt(state: State, event: Halt, now: float) -> Step:
    return replace(state, halted=event.on), ()


@leads_to(Phase.READING)
def halt_or_look(state: State, event: Halt, now: float) -> Step:
    return _read(replace(state, halted=event.on))


@leads_to(Phase.READING, Phase.WRITING, Phase.WAITING, Phase.PUBLISHING, Phase.IDLE, Phase.DEGRADED)
def have_read(state: State, event: Read, now: float) -> Step:
    state = replace(state, memory=event.memory, read_at=now, waits_for="")
    state = replace(state, standin=state.standin and not state.halted)
    if state.newest is None:
        return _rest(state)
    if state.newest is not state.target and not state.standin:
        same = state.target is not None and state.target.digest == state.newest.digest
        published = state.published and same
        state = replace(state, target=state.newest, tries=state.tries if same else 0, published=published)
    if not matches(state, event.memory):
        return _differs(state, now)
    if not (state.published and event.file_right):
        return _rest(state) if state.halted else _publish(state)
    state = replace(state, ours=_still_ours(state))
    return _degrade(state, state.trouble, now) if state.standin else _rest(state)


def _publish(state: State) -> Step:
    op = state.op + 1
    assert state.target is not None
    return replace(state, phase=Phase.PUBLISHING, op=op), (DoPublish(op, state.target, _still_ours(state)),)


def _differs(state: State, now: float) -> Step:
    if state.halted:
        diff = compare(state, state.memory or ())
        return _rest(state, Report(Verdict.OBSERVED, state.target, str(diff), diff))
    if state.tries >= TRIES:
        return _does_not_load(state, now)
    drift: tuple[Action, ...] = ()
    if state.published and not state.tries:
        diff = compare(state, state.memory or ())
        drift = (Report(Verdict.DRIFT, state.target, str(diff), diff),)
    if now < state.not_before:
        return _wait(state, "window", state.not_before, *drift)
    op = state.op + 1
    assert state.target is not None
    assert state.memory is not None
    ours = _claimed(state)
    write = DoWrite(op, state.target, state.memory, enable(state), ours)
    return replace(state, phase=Phase.WRITING, op=op, ours=ours), (*drift, write)


def _does_not_load(state: State, now: float) -> Step:
    """Written twice, and memory still differs. What is still wanted after a Refuse was refused in vain."""
    diff = compare(state, state.memory or ())
    if diff.only_missing and not state.standin and state.tries == TRIES:
        return _read(state, (Refuse(diff.missing),), tries=TRIES + 1)
    why = f"Kamailio does not hold what was loaded: {diff}"
    if (
        not state.standin
        and state.lkg is not None
        and state.target is not None
        and state.lkg.digest != state.target.digest
    ):
        state = replace(state, standin=True, target=state.lkg, tries=0, published=False, trouble=why)
        return _publish(state) if matches(state, state.memory or ()) else _differs(state, now)
    return _degrade(state, why, now, diff)


def _still_ours(state: State) -> frozenset[Key]:
    """What is disabled by us where memory is as the target wants it."""
    assert state.target is not None
    return state.ours & state.target.disabled


@leads_to(Phase.DEGRADED)
def cannot_read(state: State, event: ReadFailed, now: float) -> Step:
    return _degrade(state, event.reason, now)


@leads_to(Phase.APPLYING)
def written(state: State, event: Wrote, now: float) -> Step:
    op = state.op + 1
    slow = min(event.slow_names * SLOW_NAME, SLOWEST)
    return replace(state, phase=Phase.APPLYING, op=op, slow=slow), (DoApply(op),)


@leads_to(Phase.DEGRADED)
def not_written(state: State, event: WriteFailed, now: float) -> Step:
    return _degrade(state, event.reason, now)


@leads_to(Phase.WAITING)
def names_fail(state: State, event: Unresolved, now: float) -> Step:
    names = ", ".join(event.names)
    report = Report(Verdict.BLOCKED, state.target, f"cannot resolve {names}")
    failures = state.failures + 1
    at = now + backoff(failures, first=0.5, longest=5.0)
    return _wait(state, "names", at, report, Unresolve(event.names), failures=failures)


@leads_to(Phase.READING)
def applied(state: State, event: Applied | Faulted, now: float) -> Step:
    """A fault proves as little as an "Ok": the read-back decides. Both count as a try."""
    return _read(_after_write(state, now), tries=state.tries + 1)


def _after_write(state: State, now: float) -> State:
    """A reload may have happened: the gap runs."""
    assert state.target is not None
    longest = max(len(state.target.records), len(state.memory or ()))
    return replace(state, not_before=now + state.gap(longest) + state.slow)


def _claimed(state: State) -> frozenset[Key]:
    """What is disabled by us in memory, or will be once the target is loaded.

    Not what was disabled before: an operator's own stay the operator's. Said from the moment of writing on, because
    Kamailio may load the file without us; kept until published, because until then memory may still be as it was.
    """
    assert state.target is not None
    disabled_before = {entry.key for entry in state.memory or () if entry.disabled}
    return state.ours | (state.target.disabled - disabled_before)


@leads_to(Phase.WAITING)
def too_soon(state: State, event: Busy, now: float) -> Step:
    report = Report(Verdict.BUSY, state.target, f"Kamailio's window opens in {max(0.0, event.until - now):.1f} s")
    return _wait(state, "window", max(event.until, state.not_before), report)


@leads_to(Phase.WAITING)
def lost_while_applying(state: State, event: Unreachable, now: float) -> Step:
    return down(_after_write(state, now), event, now)


@leads_to(Phase.IDLE, Phase.READING, Phase.DEGRADED)
def published(state: State, event: Published, now: float) -> Step:
    assert state.target is not None
    # A Kamailio that restarted meanwhile may have loaded the file as it was before.
    ours = state.ours if state.memory is None else _still_ours(state)
    done = replace(state, published=True, lkg=state.target, ours=ours, tries=0)
    if state.standin:
        return _degrade(done, state.trouble, now)
    verdict = Verdict.HELD if state.target.held else Verdict.PUBLISHED
    return _rest(done, Report(verdict, state.target))


@leads_to(Phase.DEGRADED)
def not_published(state: State, event: PublishFailed, now: float) -> Step:
    return _degrade(state, f"memory is right, the disk is not: {event.reason}", now)


@leads_to(Phase.READING)
def again(state: State, event: Event, now: float) -> Step:
    """Out of DEGRADED: the newest release gets its chance again."""
    return _read(replace(state, standin=False), tries=0)


@leads_to(Phase.READING)
def take_up_again(state: State, event: Wanted, now: float) -> Step:
    return again(note(state, event, now)[0], event, now)


# --- the table -----------------------------------------------------------------------------------------------------


def _row(**handlers: Handler) -> dict[type, Handler]:
    return {getattr(events, name): handler for name, handler in handlers.items()}


TABLE: dict[Phase, dict[type, Handler]] = {
    Phase.IDLE: _row(Wanted=take_up, Tick=look, KamailioUp=look, KamailioDown=down, Halt=halt_or_look),
    Phase.READING: _row(
        Wanted=note, Tick=stay, KamailioUp=look, KamailioDown=down, Halt=halt,
        Read=have_read, ReadFailed=cannot_read, Unreachable=down,
    ),
    Phase.WRITING: _row(
        Wanted=note, Tick=stay, KamailioUp=stay, KamailioDown=stay, Halt=halt,
        Wrote=written, WriteFailed=not_written, Unresolved=names_fail,
    ),
    Phase.APPLYING: _row(
        Wanted=note, Tick=stay, KamailioUp=stay, KamailioDown=lost_while_applying, Halt=halt,
        Applied=applied, Faulted=applied, Busy=too_soon, Unreachable=lost_while_applying,
    ),
    Phase.WAITING: _row(
        Wanted=note_in_waiting, Tick=stay, KamailioUp=look, KamailioDown=down, Halt=halt,
        WindowOpen=woken, Retry=woken,
    ),
    Phase.PUBLISHING: _row(
        Wanted=note, Tick=stay, KamailioUp=forget_memory, KamailioDown=forget_memory, Halt=halt,
        Published=published, PublishFailed=not_published,
    ),
    Phase.DEGRADED: _row(
        Wanted=take_up_again, Tick=again, KamailioUp=again, KamailioDown=down, Halt=halt, Retry=again,
    ),
}  # fmt: skip


def step(state: State, event: Event, now: float) -> Step:
    """One step of the machine.

    A result or timer with another `op` than the state's is late: ignored. Raises InvalidTransition for an event that
    the table does not know in this phase; that is a defect, never a user's fault.
    """
    op = getattr(event, "op", state.op)
    if op != state.op:
        return state, ()
    handler = TABLE[state.phase].get(type(event))
    if handler is None:
        raise InvalidTransition(f"cannot take {type(event).__name__} in {state.phase.name}")
    after, actions = handler(state, event, now)
    if after.phase is not state.phase and after.phase not in GOES[handler.__name__]:
        raise InvalidTransition(f"cannot go from {state.phase.name} to {after.phase.name} by {handler.__name__}")
    return after, actions
