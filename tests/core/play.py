"""Playing events to the release machine, one after the other."""

from collections.abc import Iterable
from dataclasses import replace

from consul_kam.core import events as e
from consul_kam.core.records import Memory, Release, Seen
from consul_kam.core.release import step
from consul_kam.core.state import State
from tests.core.world import GAP, Row, release

ONE, TWO = release((Row("a"), Row("b"))), release((Row("a"), Row("c")))
B_DRAINS = release((Row("a"), Row("b", disabled=True)))


def held_by(wanted: Release, disabled: Iterable[str] = ()) -> Memory:
    """Memory that holds this release, these names disabled."""
    return tuple(Seen(r.key, r.seen, disabled=r.key[0] in disabled) for r in wanted.records)


def play(state: State, *happens: e.Event, now: float = 0.0) -> tuple[State, tuple[e.Action, ...]]:
    """The state after these events, and the last one's actions. Results get the operation under way as theirs.

    Each operation and each timer has a number of its own, higher than all before: what belongs to an older one is late.
    """
    actions: tuple[e.Action, ...] = ()
    for event in happens:
        before = state
        state, actions = step(state, replace(event, op=state.op) if hasattr(event, "op") else event, now)
        assert state.op > before.op or state.phase is before.phase
        assert all(before.op < action.op <= state.op for action in actions if hasattr(action, "op"))
        assert all(action.event.op == state.op for action in actions if isinstance(action, e.Arm))
    return state, actions


def quiet(wanted: Release = ONE, **changes: object) -> State:
    """At rest, with this release published."""
    at_rest = State(gap=lambda records: GAP, newest=wanted, target=wanted, lkg=wanted, published=True)
    return replace(at_rest, **changes)


def writing(wanted: Release = TWO, **changes: object) -> State:
    """A newer release is being written."""
    state, actions = play(quiet(**changes), e.Wanted(wanted), e.Read(0, held_by(ONE)))
    assert isinstance(actions[-1], e.DoWrite)
    return state


def kinds(actions: Iterable[e.Action]) -> list[str]:
    return [type(action).__name__ for action in actions]


def fails(state: State, memory: Memory, now: float = 0.0) -> tuple[State, tuple[e.Action, ...]]:
    """Two writes of what is being written, and memory stays as it was; the windows between are waited for."""
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, memory), now=now)
    state, _ = play(state, e.WindowOpen(0), e.Read(0, memory), now=now + GAP)
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, memory), now=now + GAP)
    return state, actions
