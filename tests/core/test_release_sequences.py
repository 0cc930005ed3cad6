"""What single sequences of events come to in the release machine."""

from dataclasses import replace

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Host, Seen
from consul_kam.core.state import State, compare
from tests.core.play import B_DRAINS, ONE, TWO, fails, held_by, kinds, play, quiet, writing
from tests.core.world import GAP, Row, release


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
    blocked, actions = play(writing(), e.Unresolved(0, (Host("host"),)))
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


def test_a_reason_is_forgotten_when_it_is_tried_again() -> None:
    state, _ = play(quiet(), e.Tick(), e.ReadFailed(0, "bad"), e.Retry(0))
    assert state.trouble == ""
    state, actions = play(state, e.Unreachable(0, "refused"), e.Retry(0), e.ReadFailed(0, "bad"), e.KamailioDown())
    assert kinds(actions) == ["Report", "Arm"]


def test_a_last_known_good_that_kamailio_refuses_by_now_is_not_asked_for_anew() -> None:
    part = held_by(release((Row("b"),)))
    state, _ = fails(writing(), (*part, Seen(("z",), ("v",))))
    state, _ = play(state, e.WindowOpen(0), e.Read(0, part), now=2 * GAP)
    state, actions = fails(state, part, now=2 * GAP)
    assert state.phase is Phase.DEGRADED
    assert kinds(actions) == ["Report", "Arm"]


def test_drift_that_comes_back_is_told_not_replaced_by_the_same() -> None:
    drifted = held_by(TWO)
    state, _ = play(quiet(), e.Tick(), e.Read(0, drifted))
    state, actions = fails(state, drifted)
    assert (state.phase, state.standin) == (Phase.DEGRADED, False)
    assert isinstance(actions[0], e.Report)
    assert actions[0].difference


def test_once_published_what_was_ours_is_an_operators_again() -> None:
    state = quiet(ONE, published=False, ours=frozenset({("b",)}))
    state, _ = play(state, e.Tick(), e.Read(0, held_by(ONE)), e.Published(0))
    state, actions = play(state, e.Wanted(replace(ONE, digest="new")), e.Read(0, held_by(TWO)))
    assert isinstance(actions[-1], e.DoWrite)
    assert (actions[-1].ours, actions[-1].enable) == (frozenset(), frozenset())


def test_one_that_never_was_published_is_superseded() -> None:
    _, actions = play(quiet(), e.Wanted(TWO), e.Wanted(B_DRAINS))
    assert actions == (e.Report(e.Verdict.SUPERSEDED, TWO),)


def test_the_same_release_again_is_as_unpublished_as_before() -> None:
    state, _ = play(writing(), e.Wanted(replace(TWO)), e.Wrote(0), e.Applied(0), e.Read(0, held_by(TWO)))
    assert state.phase is Phase.PUBLISHING


def test_each_release_has_tries_of_its_own() -> None:
    state, _ = play(writing(), e.Wrote(0), e.Applied(0), e.Wanted(B_DRAINS))
    assert state.tries == 1
    assert play(state, e.Read(0, held_by(ONE)), now=GAP)[0].tries == 0
