"""What the release machine remembers and says on its way, word for word."""

from dataclasses import replace

import pytest

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Host, Seen
from consul_kam.core.state import State, compare, enable
from tests.core.play import B_DRAINS, ONE, TWO, fails, held_by, kinds, play, quiet, writing
from tests.core.world import GAP, Row, release

STRANGE = (*held_by(ONE), Seen(("z",), ("v",)))


@pytest.mark.parametrize(
    ("state", "event", "why"),
    [
        (quiet(memory=held_by(ONE), tries=1), e.KamailioDown(), "Kamailio is away"),
        (play(quiet(), e.Tick())[0], e.Unreachable(0, "connection refused"), "connection refused"),
        (play(quiet(), e.Tick())[0], e.Unreachable(0), "Kamailio is away"),
        (
            play(quiet(), e.Wanted(ONE), e.Read(0, held_by(TWO)), e.Wrote(0))[0],
            e.Unreachable(0, "no reply"),
            "no reply",
        ),
    ],
)
def test_kamailio_away_is_told_with_the_reason_there_is_and_memory_is_unknown(
    state: State, event: e.Event, why: str
) -> None:
    state, actions = play(state, event, now=7.0)
    assert actions == (e.Report(e.Verdict.BUSY, ONE, why), e.Arm(e.Retry(state.op), 7.25))
    assert (state.memory, state.tries, state.failures) == (None, 0, 1)


def test_what_was_read_is_remembered_with_its_time_and_nothing_is_waited_for_any_more() -> None:
    state, _ = play(quiet(), e.KamailioDown(), e.Retry(0), e.Read(0, held_by(ONE)), now=42.0)
    assert (state.memory, state.read_at, state.waits_for) == (held_by(ONE), 42.0, "")


def test_a_pause_and_its_end_are_remembered_before_memory_is_looked_at() -> None:
    state, actions = play(quiet(), e.Halt(on=True))
    assert (state.halted, kinds(actions)) == (True, ["DoRead"])
    state, actions = play(play(state, e.Read(0, held_by(ONE)))[0], e.Halt(on=False))
    assert (state.halted, kinds(actions)) == (False, ["DoRead"])


def test_paused_it_does_not_mend_the_file_either() -> None:
    state, actions = play(quiet(), e.Halt(on=True), e.Read(0, held_by(ONE), file_right=False))
    assert (state.phase, actions) == (Phase.IDLE, ())


def test_the_stand_in_found_as_it_should_be_is_still_trouble() -> None:
    """Kamailio was away for a while; the newer release still does not load."""
    state, _ = fails(writing(), held_by(ONE))
    state, _ = play(state, e.Published(0))
    why = "Kamailio does not hold what was loaded: 1 missing, 1 extra"
    assert (state.phase, state.standin, state.trouble) == (Phase.DEGRADED, True, why)
    state, actions = play(state, e.KamailioDown(), e.Retry(0), e.Read(0, held_by(ONE)), now=10.0)
    assert (state.phase, state.standin, state.published) == (Phase.DEGRADED, True, True)
    assert actions == (e.Report(e.Verdict.DEGRADED, TWO, why), e.Arm(e.Retry(state.op), 11.0))


def test_the_stand_in_is_published_when_memory_holds_it_again() -> None:
    """Not before: until then the last known good on disk is not proven to load."""
    state, _ = fails(writing(), STRANGE)
    assert (state.standin, state.target, state.published) == (True, ONE, False)
    state, actions = play(state, e.WindowOpen(0), e.Read(0, held_by(ONE)), now=2 * GAP)
    assert actions == (e.DoPublish(state.op, ONE, frozenset()),)


@pytest.mark.parametrize("out", [e.Tick(), e.KamailioUp(), e.Retry(0), e.Wanted(TWO)])
def test_out_of_degraded_the_newest_starts_with_all_its_tries(out: e.Event) -> None:
    state, _ = play(quiet(phase=Phase.DEGRADED, newest=TWO, standin=True, tries=2), out)
    assert (state.phase, state.standin, state.tries, state.newest) == (Phase.READING, False, 0, TWO)


def test_drift_says_what_differs_also_while_the_window_is_closed() -> None:
    diff = compare(quiet(), held_by(TWO))
    report = e.Report(e.Verdict.DRIFT, ONE, "1 missing, 1 extra", diff)
    state, actions = play(quiet(), e.Tick(), e.Read(0, held_by(TWO)))
    write = e.DoWrite(state.op, ONE, held_by(TWO), frozenset(), frozenset())
    assert actions == (report, write)
    state, actions = play(quiet(not_before=9.0), e.Tick(), e.Read(0, held_by(TWO)), now=8.0)
    assert actions == (report, e.Arm(e.WindowOpen(state.op), 9.0))


def test_another_order_is_drift_where_order_has_a_meaning() -> None:
    backwards = held_by(ONE)[::-1]
    assert play(quiet(), e.Tick(), e.Read(0, backwards))[0].phase is Phase.IDLE
    state, actions = play(quiet(ordered=True), e.Tick(), e.Read(0, backwards))
    assert state.phase is Phase.WRITING
    assert isinstance(actions[0], e.Report)
    assert actions[0].reason == "order of set 1"


def test_what_cannot_be_read_is_told() -> None:
    state, actions = play(quiet(), e.Tick(), e.ReadFailed(0, "no struct"), now=1.0)
    assert actions == (e.Report(e.Verdict.DEGRADED, ONE, "no struct"), e.Arm(e.Retry(state.op), 1.25))
    assert (state.trouble, state.waits_for, state.tries) == ("no struct", "", 0)


def test_a_failure_is_told_of_the_release_that_failed_not_of_the_newest() -> None:
    state, actions = play(writing(), e.Wanted(B_DRAINS), e.WriteFailed(0, "full"))
    assert isinstance(actions[0], e.Report)
    assert (actions[0].release, state.newest) == (TWO, B_DRAINS)


def test_a_try_that_failed_before_trouble_does_not_count_afterwards() -> None:
    state, _ = play(writing(), e.Wrote(0), e.Applied(0))
    assert state.tries == 1
    assert play(state, e.ReadFailed(0, "bad"))[0].tries == 0
    assert play(state, e.KamailioDown())[0].tries == 0
    rested, _ = play(replace(state, published=True), e.Read(0, held_by(TWO)))
    assert (rested.phase, rested.tries, rested.failures) == (Phase.IDLE, 0, 0)


def test_all_names_that_do_not_resolve_are_told_and_planned_without() -> None:
    state, actions = play(writing(), e.Unresolved(0, (Host("one"), Host("two"))))
    assert actions == (
        e.Report(e.Verdict.BLOCKED, TWO, "cannot resolve one, two"),
        e.Unresolve((Host("one"), Host("two"))),
        e.Arm(e.Retry(state.op), 0.5),
    )


def test_a_window_that_is_open_by_now_is_told_as_such() -> None:
    applying, _ = play(writing(), e.Wrote(0))
    _, actions = play(applying, e.Busy(0, until=3.0), now=5.0)
    assert actions[0] == e.Report(e.Verdict.BUSY, TWO, "Kamailio's window opens in 0.0 s")


def test_what_was_disabled_before_is_not_claimed_by_a_write_that_disables_it_too() -> None:
    _, actions = play(quiet(), e.Wanted(B_DRAINS), e.Read(0, (*held_by(ONE, "b"), Seen(("z",), ("v",)))))
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].ours == frozenset()
    _, actions = play(quiet(), e.Wanted(B_DRAINS), e.Read(0, held_by(ONE)))
    assert isinstance(actions[-1], e.DoWrite)
    assert actions[-1].ours == {("b",)}


def test_without_a_target_nothing_is_to_be_enabled() -> None:
    assert enable(State(ours=frozenset({("a",)}))) == frozenset()


def test_refused_once_its_records_are_not_refused_again() -> None:
    state, _ = fails(writing(), held_by(release((Row("a"),))))
    assert state.tries == 3
