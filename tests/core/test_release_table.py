"""The table of the release machine: what is in it, and that nothing else is possible."""

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import get_args

import pytest

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Host
from consul_kam.core.release import TABLE, step
from consul_kam.core.state import GOES
from consul_kam.errors import InvalidTransition
from tests.core.play import ONE, TWO, held_by, quiet

EXPECTED = """
IDLE
    Wanted: take_up > READING
    Tick KamailioUp: look > READING
    KamailioDown: down > WAITING
    Halt: halt_or_look > READING
READING
    Wanted: note > stays
    Tick: stay > stays
    KamailioUp: look > READING
    KamailioDown Unreachable: down > WAITING
    Halt: halt > stays
    Read: have_read > READING WRITING WAITING PUBLISHING IDLE DEGRADED
    ReadFailed: cannot_read > DEGRADED
WRITING
    Wanted: note > stays
    Tick KamailioUp KamailioDown: stay > stays
    Halt: halt > stays
    Wrote: written > APPLYING
    WriteFailed: not_written > DEGRADED
    Unresolved: names_fail > WAITING
APPLYING
    Wanted: note > stays
    Tick KamailioUp: stay > stays
    KamailioDown Unreachable: lost_while_applying > WAITING
    Halt: halt > stays
    Applied Faulted: applied > READING
    Busy: too_soon > WAITING
WAITING
    Wanted: note_in_waiting > READING
    Tick: stay > stays
    KamailioUp: look > READING
    KamailioDown: down > WAITING
    Halt: halt > stays
    WindowOpen Retry: woken > READING
PUBLISHING
    Wanted: note > stays
    Tick: stay > stays
    KamailioUp KamailioDown: forget_memory > stays
    Halt: halt > stays
    Published: published > IDLE READING DEGRADED
    PublishFailed: not_published > DEGRADED
DEGRADED
    Wanted: take_up_again > READING
    Tick KamailioUp Retry: again > READING
    KamailioDown: down > WAITING
    Halt: halt > stays
"""
"""Read it as: in this phase, these events: handler > where it may lead."""


def as_text() -> Iterator[str]:
    for phase, row in TABLE.items():
        yield phase.name
        for handler in dict.fromkeys(row.values()):
            names = " ".join(event.__name__ for event in row if row[event] is handler)
            goes = " ".join(phase.name for phase in GOES[handler.__name__]) or "stays"
            yield f"    {names}: {handler.__name__} > {goes}"


def test_the_table_is_this_one() -> None:
    assert list(as_text()) == EXPECTED.strip().splitlines()


EVENTS = get_args(e.Event)
FIELDS = {"release": TWO, "memory": held_by(ONE), "hosts": (Host("host"),), "until": 1.0, "on": True, "reason": "why"}


def event_of(kind: type[e.Event], op: int) -> e.Event:
    return kind(**{f.name: op if f.name == "op" else FIELDS[f.name] for f in fields(kind) if f.default is MISSING})


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("kind", EVENTS)
def test_what_the_table_does_not_know_is_refused_and_what_is_late_ignored(phase: Phase, kind: type[e.Event]) -> None:
    """Whatever the state is otherwise, no handler leads where it does not declare to."""
    state = quiet(phase=phase, op=7, memory=held_by(ONE))
    if kind in TABLE[phase]:
        after, _ = step(state, event_of(kind, 7), 1.0)
        assert after.phase in (phase, *GOES[TABLE[phase][kind].__name__])
    else:
        with pytest.raises(InvalidTransition, match=f"cannot take {kind.__name__} in {phase.name}"):
            step(state, event_of(kind, 7), 1.0)
    if any(f.name == "op" for f in fields(kind)):
        late = step(state, event_of(kind, 6), 1.0)
        assert late[0] is state
        assert late[1] == ()


def test_every_phase_has_a_row_and_every_event_a_place() -> None:
    assert set(TABLE) == set(Phase)
    assert {event for row in TABLE.values() for event in row} == set(EVENTS)


def test_a_handler_is_held_to_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GOES, "take_up", (Phase.WRITING,))
    with pytest.raises(InvalidTransition, match="cannot go from IDLE to READING by take_up"):
        step(quiet(), e.Wanted(TWO), 0.0)
