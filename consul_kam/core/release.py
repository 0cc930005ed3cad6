"""The release machine: drives Kamailio's memory to what it shall hold, one dataset each. Design.md section 3.

Everything that decides what happens next is in this file, as one TABLE of (phase, event) -> handler. `step` is pure:
(state, event, now) -> (state, actions). It is level-triggered: nothing is remembered of half-done steps; every way out
of trouble is "read memory again, compare, go on from there". `now` is in seconds and only ever compared with itself.

Results of actions carry the operation number (`op`) of the action; a result with another number is late and ignored.
docs/state-machine.md is generated from TABLE and from what each handler declares with `leads_to`; `step` holds every
handler to its word.
"""

from dataclasses import replace

from consul_kam.core import events
from consul_kam.core.backoff import backoff
from consul_kam.core.events import (
    Action,
    Applied,
    Busy,
    DoApply,
    DoPublish,
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
from consul_kam.core.reach import lacking
from consul_kam.core.records import Release
from consul_kam.core.state import (
    GOES,
    SLOW_NAME,
    SLOWEST,
    TRIES,
    Handler,
    State,
    Step,
    after_write,
    claimed,
    compare,
    enable,
    leads_to,
    matches,
    still_ours,
    to_degraded,
    to_reading,
    to_rest,
    to_waiting,
)
from consul_kam.errors import InvalidTransition

# --- handlers ----------------------------------------------------------------------------------------------------


@leads_to()
def stay(state: State, event: Event, now: float) -> Step:
    """Ignored here, on purpose."""
    return state, ()


@leads_to(Phase.READING)
def look(state: State, event: Event, now: float) -> Step:
    return to_reading(state, tries=0)


@leads_to(Phase.READING)
def take_up(state: State, event: Wanted, now: float) -> Step:
    return to_reading(*note(state, event, now))


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
    return to_waiting(
        state, "kamailio", now + backoff(failures, longest=2.0), *report, tries=0, failures=failures, memory=None
    )


@leads_to()
def forget_memory(state: State, event: KamailioDown | KamailioUp, now: float) -> Step:
    """The disk is at work: nothing else may start before it is done, then memory is read again."""
    return replace(state, memory=None), ()


@leads_to(Phase.READING)
def woken(state: State, event: WindowOpen | Retry, now: float) -> Step:
    return to_reading(state)


@leads_to()
def halt(state: State, event: Halt, now: float) -> Step:
    return replace(state, halted=event.on), ()


@leads_to(Phase.READING)
def halt_or_look(state: State, event: Halt, now: float) -> Step:
    return to_reading(replace(state, halted=event.on))


@leads_to(Phase.READING, Phase.WRITING, Phase.WAITING, Phase.PUBLISHING, Phase.IDLE, Phase.DEGRADED)
def have_read(state: State, event: Read, now: float) -> Step:
    state = replace(state, memory=event.memory, read_at=now, waits_for="")
    state = replace(state, standin=state.standin and not state.halted)
    if state.newest is None:
        return to_rest(state)
    if state.newest is not state.target and not state.standin:
        same = state.target is not None and state.target.digest == state.newest.digest
        published = state.published and same
        state = replace(state, target=state.newest, tries=state.tries if same else 0, published=published)
    if not matches(state, event.memory):
        return _differs(state, now)
    if not (state.published and event.file_right):
        return to_rest(state) if state.halted else _publish(state)
    state = replace(state, ours=still_ours(state))
    return to_degraded(state, state.trouble, now) if state.standin else to_rest(state)


def _publish(state: State) -> Step:
    op = state.op + 1
    assert state.target is not None
    return replace(state, phase=Phase.PUBLISHING, op=op), (DoPublish(op, state.target, still_ours(state)),)


def _differs(state: State, now: float) -> Step:
    if state.halted:
        diff = compare(state, state.memory or ())
        return to_rest(state, Report(Verdict.OBSERVED, state.target, str(diff), diff))
    if state.tries >= TRIES:
        return _does_not_load(state, now)
    drift: tuple[Action, ...] = ()
    if state.published and not state.tries:
        diff = compare(state, state.memory or ())
        drift = (Report(Verdict.DRIFT, state.target, str(diff), diff),)
    if now < state.not_before:
        return to_waiting(state, "window", state.not_before, *drift)
    op = state.op + 1
    assert state.target is not None
    assert state.memory is not None
    ours = claimed(state)
    write = DoWrite(op, state.target, state.memory, enable(state), ours)
    return replace(state, phase=Phase.WRITING, op=op, ours=ours), (*drift, write)


def _does_not_load(state: State, now: float) -> Step:
    """Written twice, and memory still differs. What is still wanted after a Refuse was refused in vain."""
    diff = compare(state, state.memory or ())
    if diff.only_missing and not state.standin and state.tries == TRIES:
        return to_reading(state, (Refuse(diff.missing),), tries=TRIES + 1)
    why = f"Kamailio does not hold what was loaded: {diff}"
    if (
        not state.standin
        and state.lkg is not None
        and state.target is not None
        and state.lkg.digest != state.target.digest
    ):
        state = replace(state, standin=True, target=state.lkg, tries=0, published=False, trouble=why)
        return _publish(state) if matches(state, state.memory or ()) else _differs(state, now)
    return to_degraded(state, why, now, diff)


@leads_to(Phase.DEGRADED)
def cannot_read(state: State, event: ReadFailed, now: float) -> Step:
    return to_degraded(state, event.reason, now)


@leads_to(Phase.APPLYING)
def written(state: State, event: Wrote, now: float) -> Step:
    op = state.op + 1
    slow = min(event.slow_names * SLOW_NAME, SLOWEST)
    return replace(state, phase=Phase.APPLYING, op=op, slow=slow), (DoApply(op),)


@leads_to(Phase.DEGRADED)
def not_written(state: State, event: WriteFailed, now: float) -> Step:
    return to_degraded(state, event.reason, now)


@leads_to(Phase.WAITING)
def names_fail(state: State, event: Unresolved, now: float) -> Step:
    report = Report(Verdict.BLOCKED, state.target, "; ".join(lacking(event.hosts)))
    failures = state.failures + 1
    at = now + backoff(failures, first=0.5, longest=5.0)
    return to_waiting(state, "names", at, report, Unresolve(event.hosts), failures=failures)


@leads_to(Phase.READING)
def applied(state: State, event: Applied | Faulted, now: float) -> Step:
    """A fault proves as little as an "Ok": the read-back decides. Both count as a try."""
    return to_reading(after_write(state, now), tries=state.tries + 1)


@leads_to(Phase.WAITING)
def too_soon(state: State, event: Busy, now: float) -> Step:
    report = Report(Verdict.BUSY, state.target, f"Kamailio's window opens in {max(0.0, event.until - now):.1f} s")
    return to_waiting(state, "window", max(event.until, state.not_before), report)


@leads_to(Phase.WAITING)
def lost_while_applying(state: State, event: Unreachable, now: float) -> Step:
    return down(after_write(state, now), event, now)


@leads_to(Phase.IDLE, Phase.READING, Phase.DEGRADED)
def published(state: State, event: Published, now: float) -> Step:
    assert state.target is not None
    # A Kamailio that restarted meanwhile may have loaded the file as it was before.
    ours = state.ours if state.memory is None else still_ours(state)
    done = replace(state, published=True, lkg=state.target, ours=ours, tries=0)
    if state.standin:
        return to_degraded(done, state.trouble, now)
    verdict = Verdict.HELD if state.target.held else Verdict.PUBLISHED
    return to_rest(done, Report(verdict, state.target))


@leads_to(Phase.DEGRADED)
def not_published(state: State, event: PublishFailed, now: float) -> Step:
    return to_degraded(state, f"memory is right, the disk is not: {event.reason}", now)


@leads_to(Phase.READING)
def again(state: State, event: Event, now: float) -> Step:
    """Out of DEGRADED: the newest release gets its chance again."""
    return to_reading(replace(state, standin=False), tries=0)


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
