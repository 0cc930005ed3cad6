"""The table of the release machine, and what single sequences of events come to."""

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import get_args

import pytest

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Memory, Release, Seen
from consul_kam.core.release import GOES, TABLE, State, compare, step
from consul_kam.errors import InvalidTransition
from tests.core.world import GAP, Row, release

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

ONE, TWO = release((Row("a"), Row("b"))), release((Row("a"), Row("c")))
B_DRAINS = release((Row("a"), Row("b", disabled=True)))


def held_by(wanted: Release, disabled: Iterable[str] = ()) -> Memory:
    """Memory that holds this release, these names disabled."""
    return tuple(Seen(r.key, r.seen, disabled=r.key[0] in disabled) for r in wanted.records)


def play(state: State, *happens: e.Event, now: float = 0.0) -> tuple[State, tuple[e.Action, ...]]:
    """The state after these events, and the last one's actions. Results get the operation under way as theirs."""
    actions: tuple[e.Action, ...] = ()
    for event in happens:
        state, actions = step(state, replace(event, op=state.op) if hasattr(event, "op") else event, now)
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
FIELDS = {"release": TWO, "memory": held_by(ONE), "names": ("host",), "until": 1.0, "on": True, "reason": "why"}


OPTIONAL = ("file_right", "slow_names")


def event_of(kind: type[e.Event], op: int) -> e.Event:
    return kind(**{f.name: op if f.name == "op" else FIELDS[f.name] for f in fields(kind) if f.name not in OPTIONAL})


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


def test_a_published_release_is_held_where_the_guards_held_something() -> None:
    for release_, verdict in ((TWO, e.Verdict.PUBLISHED), (replace(TWO, held={("a",): "why"}), e.Verdict.HELD)):
        publishing, _ = play(writing(release_), e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)))
        state, actions = play(publishing, e.Published(0))
        assert actions == (e.Report(verdict, release_),)
        assert (state.phase, state.lkg, state.published) == (Phase.IDLE, release_, True)


def test_the_newest_wins_and_who_waited_for_another_is_told() -> None:
    state, actions = play(writing(), e.Wanted(B_DRAINS))
    assert actions == (e.Report(e.Verdict.SUPERSEDED, TWO),)
    assert play(state, e.Wanted(replace(B_DRAINS)))[1] == ()
    assert kinds(play(quiet(), e.Wanted(TWO))[1]) == ["DoRead"]
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)), now=0.0)
    assert (state.phase, state.waits_for, state.target) == (Phase.WAITING, "window", B_DRAINS)
    assert actions == (e.Arm(e.WindowOpen(state.op), GAP),)


def test_waits_double_with_each_failure_and_start_anew_at_rest() -> None:
    state = quiet(newest=TWO)
    waits = []
    for _ in range(9):
        state, actions = play(
            state if state.phase is Phase.READING else play(state, e.Tick())[0], e.ReadFailed(0, "bad")
        )
        assert isinstance(actions[-1], e.Arm)
        waits.append(actions[-1].at)
        state, _ = play(state, actions[-1].event)
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]
    rested, _ = play(replace(state, newest=ONE, target=ONE), e.Read(0, held_by(ONE)))
    assert (rested.phase, rested.failures) == (Phase.IDLE, 0)


def test_kamailio_away_is_tried_every_two_seconds_at_least_names_every_five() -> None:
    state = quiet(failures=10)
    _, actions = play(state, e.KamailioDown(), now=100.0)
    assert isinstance(actions[-1], e.Arm)
    assert actions[-1].at == 102.0
    _, actions = play(replace(writing(), failures=10), e.Unresolved(0, ("host",)), now=100.0)
    assert isinstance(actions[-1], e.Arm)
    assert actions[-1].at == 105.0
    assert actions[0] == e.Report(e.Verdict.BLOCKED, TWO, "cannot resolve host")


def test_too_soon_waits_for_window_and_gap_whichever_is_later() -> None:
    applying, _ = play(writing(), e.Wrote(0))
    for not_before, until, at in ((3.0, 5.0, 5.0), (5.0, 3.0, 5.0)):
        state, actions = play(replace(applying, not_before=not_before), e.Busy(0, until), now=1.0)
        assert (state.phase, state.tries) == (Phase.WAITING, 0)
        assert actions[-1] == e.Arm(e.WindowOpen(state.op), at)
        assert isinstance(actions[0], e.Report)
        assert actions[0].reason == f"Kamailio's window opens in {until - 1.0} s"


def test_the_gap_grows_with_the_longer_of_both_lists() -> None:
    long, short = release(tuple(Row(name) for name in "abcd")), release((Row("a"),))
    for before, after in ((long, short), (short, long)):
        state = quiet(before, gap=float)
        state, _ = play(state, e.Wanted(after), e.Read(0, held_by(before)), e.Wrote(0), now=10.0)
        for reply in (e.Applied(0), e.Faulted(0, "500"), e.Unreachable(0), e.KamailioDown()):
            assert play(state, reply, now=10.0)[0].not_before == 14.0


def test_the_gap_covers_a_ping_walk_that_waits_for_a_silent_resolver() -> None:
    for slow_names, extra in ((0, 0.0), (1, 10.0), (3, 30.0), (100, 60.0)):
        state = quiet(gap=float)
        state, _ = play(state, e.Wanted(TWO), e.Read(0, held_by(ONE)), e.Wrote(0, slow_names), now=10.0)
        assert play(state, e.Applied(0), now=10.0)[0].not_before == 12.0 + extra


def test_drift_is_reported_once_and_repaired() -> None:
    state, actions = play(quiet(), e.Tick(), e.Read(0, held_by(TWO)))
    assert kinds(actions) == ["Report", "DoWrite"]
    assert isinstance(actions[0], e.Report)
    assert (actions[0].verdict, actions[0].reason) == (e.Verdict.DRIFT, "1 missing, 1 extra")
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)), now=-9.0)
    assert kinds(play(state, e.WindowOpen(0), e.Read(0, held_by(TWO)), now=9.0)[1]) == ["DoWrite"]


def test_a_live_file_that_somebody_changed_is_written_anew() -> None:
    state, actions = play(quiet(), e.Tick(), e.Read(0, held_by(ONE), file_right=False))
    assert actions == (e.DoPublish(state.op, ONE, frozenset()),)


def test_degraded_tells_why_and_what_differs() -> None:
    """There is no last known good to put back."""
    state, actions = fails(writing(lkg=None), held_by(ONE))
    assert state.phase is Phase.DEGRADED
    why = "Kamailio does not hold what was loaded: 1 missing, 1 extra"
    assert actions[0] == e.Report(e.Verdict.DEGRADED, TWO, why, compare(state, held_by(ONE)))
    assert state.trouble == why
    state, actions = play(writing(), e.WriteFailed(0, "full"))
    assert (state.trouble, actions[0]) == ("full", e.Report(e.Verdict.DEGRADED, TWO, "full"))
    publishing, _ = play(writing(), e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)))
    assert play(publishing, e.PublishFailed(0, "full"))[0].trouble == "memory is right, the disk is not: full"


def test_nothing_happened_yet_and_nothing_is_wanted() -> None:
    state, actions = play(State(), e.Tick(), e.Read(0, held_by(ONE)))
    assert (state.phase, actions) == (Phase.IDLE, ())


def test_an_operators_own_disabling_is_never_taken_for_ours() -> None:
    """Not even where a drain of the same record comes and goes."""
    state, _ = play(quiet(), e.Wanted(replace(B_DRAINS, digest="new")), e.Read(0, held_by(ONE, "ab")))
    state, _ = play(state, e.Published(0), e.Wanted(TWO), e.Read(0, held_by(ONE, "ab")))
    assert state.ours == frozenset()


def test_nothing_is_written_while__another_write_is_under_way() -> None:
    """A slow disk outlasts Kamailio's restart."""
    for away in (e.KamailioDown(), e.KamailioUp()):
        state, actions = play(writing(), away)
        assert (state.phase, actions) == (Phase.WRITING, ())
        publishing, _ = play(writing(), e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)))
        state, actions = play(publishing, away)
        assert (state.phase, actions) == (Phase.PUBLISHING, ())


def test_memory_is_read_again_when_kamailio_restarted_during_a_publish() -> None:
    publishing, _ = play(writing(), e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)))
    for away in (e.KamailioDown(), e.KamailioUp()):
        state, actions = play(publishing, away, e.Published(0))
        assert state.phase is Phase.READING
        assert kinds(actions) == ["Report", "DoRead"]


def test_what_is_written_as_disabled_by_us_is_ours_even_if_kamailio_loads_it_without_us() -> None:
    """Busy, then Kamailio restarts with the live file that says so."""
    waiting, _ = play(writing(B_DRAINS), e.Wrote(0), e.Busy(0, until=5.0))
    state, actions = play(waiting, e.KamailioUp(), e.Read(0, held_by(B_DRAINS, "b")))
    assert actions == (e.DoPublish(state.op, B_DRAINS, frozenset({("b",)})),)
    state, actions = play(state, e.Published(0), e.Wanted(ONE), e.Read(0, held_by(ONE, "b")), now=GAP)
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].enable == {("b",)}


def test_the_file_that_ends_a_disabling_still_says_that_it_was_ours() -> None:
    """Killed before that file is loaded, the next engine knows by it whose disabling memory still has."""
    state = quiet(B_DRAINS, ours=frozenset({("b",)}))
    _, actions = play(state, e.Wanted(ONE), e.Read(0, held_by(ONE, "b")))
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].ours == actions[-1].enable == {("b",)}


def test_a_restart_during_a_publish_may_bring_our_disabling_back() -> None:
    """Kamailio loads the live file as it was before the publish."""
    state = quiet(ONE, published=False, ours=frozenset({("b",)}))
    state, _ = play(state, e.Tick(), e.Read(0, held_by(ONE)), e.KamailioUp(), e.Published(0))
    _, actions = play(state, e.Read(0, held_by(ONE, "b")))
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].enable == {("b",)}
    calm, _ = play(state, e.Read(0, held_by(ONE)))
    assert (calm.phase, calm.ours) == (Phase.IDLE, frozenset())


def fails(state: State, memory: Memory, now: float = 0.0) -> tuple[State, tuple[e.Action, ...]]:
    """Two writes of what is being written, and memory stays as it was; the windows between are waited for."""
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, memory), now=now)
    state, _ = play(state, e.WindowOpen(0), e.Read(0, memory), now=now + GAP)
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, memory), now=now + GAP)
    return state, actions


def test_halted_while_the_last_known_good_stands_in_it_rests() -> None:
    """And tells what the newest would change, not the stand-in."""
    state, _ = fails(writing(), (*held_by(ONE), Seen(("z",), ("v",))))
    assert (state.phase, state.standin, state.target) == (Phase.WAITING, True, ONE)
    state, actions = play(state, e.Halt(on=True), e.WindowOpen(0), e.Read(0, held_by(ONE)), now=2 * GAP)
    assert state.phase is Phase.IDLE
    assert actions == (e.Report(e.Verdict.OBSERVED, TWO, "1 missing, 1 extra", compare(state, held_by(ONE))),)


def test_a_newer_release_goes_before_the_stand_in() -> None:
    state, _ = fails(writing(), (*held_by(ONE), Seen(("z",), ("v",))))
    state, actions = play(state, e.Wanted(B_DRAINS), e.WindowOpen(0), e.Read(0, held_by(ONE)), now=2 * GAP)
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].release is B_DRAINS
    same, _ = play(fails(writing(), (*held_by(ONE), Seen(("z",), ("v",))))[0], e.Wanted(replace(TWO)))
    assert same.standin


def test_the_last_known_good_is_put_back_on_disk_too() -> None:
    """Kamailio refuses the file as a whole and keeps what it had: it would not start with that file."""
    state, actions = fails(writing(), held_by(ONE))
    assert actions == (e.DoPublish(state.op, ONE, frozenset()),)
    state, actions = play(state, e.Published(0), now=5.0)
    assert (state.phase, state.newest) == (Phase.DEGRADED, TWO)
    assert kinds(actions) == ["Report", "Arm"]
    assert isinstance(actions[0], e.Report)
    assert (actions[0].release, actions[0].verdict) == (TWO, e.Verdict.DEGRADED)
    assert "does not hold what was loaded: 1 missing, 1 extra" in actions[0].reason


def test_written_back_and_read_back_the_last_known_good_is_published_with_the_reason_kept() -> None:
    state, _ = fails(writing(), held_by(release((Row("a"), Row("z")))))
    state, _ = play(state, e.WindowOpen(0), e.Read(0, held_by(release((Row("a"), Row("z"))))), now=2 * GAP)
    state, actions = play(state, e.Wrote(0), e.Applied(0), e.Read(0, held_by(ONE), file_right=False), now=2 * GAP)
    assert actions == (e.DoPublish(state.op, ONE, frozenset()),)
    state, actions = play(state, e.Published(0), now=5.0)
    assert state.phase is Phase.DEGRADED
    assert isinstance(actions[0], e.Report)
    assert "1 missing, 1 extra" in actions[0].reason


def test_records_that_the_guards_insist_on_are_refused_once_then_the_last_known_good_is_put_back() -> None:
    """The plan without them is the same plan: asking again and again would never end."""
    state, actions = fails(writing(), held_by(release((Row("a"),))))
    assert actions == (e.Refuse((("c",),)), e.DoRead(state.op))
    state, actions = play(state, e.Wanted(replace(TWO)), e.Read(0, held_by(release((Row("a"),)))), now=2 * GAP)
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].release is ONE
    assert state.standin


def test_the_same_release_wanted_again_waits_for_its_names_another_one_does_not() -> None:
    """The shell answers each Unresolve with Wanted: taking up the same at once would ask for the names for ever."""
    blocked, actions = play(writing(), e.Unresolved(0, ("host",)))
    assert kinds(actions) == ["Report", "Unresolve", "Arm"]
    state, actions = play(blocked, e.Wanted(replace(TWO)))
    assert (state.phase, state.newest is TWO, actions) == (Phase.WAITING, False, ())
    state, actions = play(blocked, e.Wanted(B_DRAINS))
    assert (state.phase, kinds(actions)) == (Phase.READING, ["Report", "DoRead"])


def test_tries_start_anew_with_another_kamailio_and_after_a_publish() -> None:
    """Else the first difference after it would count as the third, and its records as refused."""
    drifted = held_by(release((Row("a"),)))
    once, _ = play(writing(), e.Wrote(0), e.Applied(0), e.Read(0, drifted), e.WindowOpen(0), now=-GAP)
    twice, _ = play(once, e.Read(0, drifted), e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)))
    assert (twice.phase, twice.tries) == (Phase.PUBLISHING, 2)
    published, _ = play(twice, e.Wanted(replace(TWO)), e.Published(0))
    _, actions = play(published, e.Read(0, drifted), now=9.0)
    assert kinds(actions) == ["Report", "DoWrite"]
    restarted, _ = play(replace(twice, phase=Phase.READING), e.KamailioUp())
    _, actions = play(restarted, e.Read(0, drifted), now=9.0)
    assert kinds(actions) == ["DoWrite"]


def test_kamailio_away_is_reported_once_however_often_it_is_tried() -> None:
    state, actions = play(quiet(), e.Tick(), e.Unreachable(0, "refused"))
    assert kinds(actions) == ["Report", "Arm"]
    state, actions = play(state, e.Retry(0), e.Unreachable(0, "refused"))
    assert kinds(actions) == ["Arm"]
    state, actions = play(state, e.Retry(0), e.Read(0, held_by(ONE)), e.Tick(), e.Unreachable(0, "refused"))
    assert kinds(actions) == ["Report", "Arm"]
