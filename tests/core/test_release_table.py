"""The table of the release machine, and what single sequences of events come to."""

from collections.abc import Iterable
from dataclasses import replace

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Memory, Release, Seen
from consul_kam.core.release import State, compare, step
from tests.core.world import GAP, Row, release

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


def test_nothing_is_written_while_another_write_is_under_way() -> None:
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
