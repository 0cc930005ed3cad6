"""How long the release machine waits, and how often it says so."""

from dataclasses import replace

from consul_kam.core import events as e
from consul_kam.core.events import Phase
from consul_kam.core.records import Host
from tests.core.play import ONE, TWO, held_by, kinds, play, quiet, writing
from tests.core.world import Row, release


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
    assert actions[0] == e.Report(e.Verdict.BUSY, ONE, "Kamailio is away")
    _, actions = play(state, e.KamailioDown("cannot reach Kamailio: No such file"), now=100.0)
    assert actions[0] == e.Report(e.Verdict.BUSY, ONE, "cannot reach Kamailio: No such file")
    _, actions = play(replace(writing(), failures=10), e.Unresolved(0, (Host("host"),)), now=100.0)
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


def test_kamailio_away_is_reported_once_however_often_it_is_tried() -> None:
    state, actions = play(quiet(), e.Tick(), e.Unreachable(0, "refused"))
    assert kinds(actions) == ["Report", "Arm"]
    state, actions = play(state, e.Retry(0), e.Unreachable(0, "refused"))
    assert kinds(actions) == ["Arm"]
    state, actions = play(state, e.Retry(0), e.Read(0, held_by(ONE)), e.Tick(), e.Unreachable(0, "refused"))
    assert kinds(actions) == ["Report", "Arm"]


def test_waits_grow_while_kamailio_is_away_and_while_names_fail() -> None:
    away, names, waits = quiet(), writing(), []
    for _ in range(5):
        away, actions = play(play(away, e.Tick() if away.phase is Phase.IDLE else e.Retry(0))[0], e.Unreachable(0))
        names, blocked = play(names, e.Unresolved(0, (Host("host"),)))
        names, _ = play(names, e.Retry(0), e.Read(0, held_by(ONE)))
        waits.append([action.at for action in (actions[-1], blocked[-1]) if isinstance(action, e.Arm)])
    assert waits == [[0.25, 0.5], [0.5, 1], [1, 2], [2, 4], [2, 5]]
