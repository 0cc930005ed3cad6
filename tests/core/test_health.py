"""Counting looks, levels, actions: pure."""

from dataclasses import dataclass, replace

import pytest

from consul_kam.core import health
from consul_kam.core.health import ALIVE, NONE, NOT_READY, READY, RESTART, Outcome, Probe, ProbeState, step
from consul_kam.core.world import CONSUL_TEMPLATE, KAMAILIO, NodeFacts, World
from consul_kam.errors import ConsulKamError, RpcTimeout, Unanswered
from consul_kam.testing import FakeWorld, recording

SPAWN = NodeFacts(kamailio="spawn", consul_template="spawn")
GOOD, BAD = Outcome(True), Outcome(False, "silent")


@dataclass(frozen=True)
class Given:
    enabled: bool | None = None
    period: float | None = None
    timeout: float | None = None
    rise: int | None = None
    fall: int | None = None
    action: str | None = None


def probe(**own: object) -> Probe:
    base = Probe("x", "", lambda world, timeout: GOOD, lambda node: node.role != "", 3.0, 1.0)
    return replace(base, **own)  # type: ignore[arg-type]


def state(rise: int = 2, fall: int = 3, **more: object) -> ProbeState:
    base = ProbeState("x", READY, NOT_READY, KAMAILIO, rise, fall, since=0.0)
    return replace(base, **more)  # type: ignore[arg-type]


def after(start: ProbeState, *outcomes: Outcome) -> ProbeState:
    """Looks at 1, 2, ... s."""
    for number, outcome in enumerate(outcomes, 1):
        start = step(start, outcome, float(number))
    return start


# -- counting ---------------------------------------------------------------------------------------------------------


def test_it_is_unknown_until_rise_good_looks_in_a_row() -> None:
    assert after(state()).healthy is None
    assert after(state(), GOOD).healthy is None
    assert after(state(), GOOD, BAD, GOOD).healthy is None
    found = after(state(), GOOD, GOOD)
    assert (found.healthy, found.since) == (True, 2.0)


def test_fall_bad_looks_in_a_row_make_it_unhealthy() -> None:
    well = state(healthy=True)
    assert after(well, BAD, BAD, GOOD, BAD, BAD).healthy is True
    found = after(well, BAD, BAD, BAD)
    assert (found.healthy, found.since, found.reason) == (False, 3.0, "silent")
    assert after(state(), BAD, BAD, BAD).healthy is False


def test_since_stays_while_nothing_turns() -> None:
    assert after(state(healthy=True), GOOD, GOOD, GOOD).since == 0.0
    assert after(state(healthy=False), BAD, BAD, BAD, BAD).since == 0.0


def test_the_reason_of_the_last_bad_look_stays_until_it_is_healthy_again() -> None:
    ill = after(state(), BAD, BAD, Outcome(False, "refused"), GOOD)
    assert (ill.healthy, ill.reason) == (False, "refused")
    assert step(ill, Outcome(True, "a remark"), 5.0).reason == "a remark"


def test_one_bad_look_of_a_healthy_one_is_told_until_the_next_good_one() -> None:
    assert after(state(healthy=True), BAD).reason == "silent"
    assert after(state(healthy=True), BAD, GOOD).reason == ""


def test_figures_and_time_are_those_of_the_last_look() -> None:
    found = step(state(facts={"old": 1.0}), Outcome(True, facts={"n": 2.0}), 1.0, 12.5)
    assert (found.facts, found.took_ms) == ({"n": 2.0}, 12.5)
    assert step(found, BAD, 2.0).facts == {}


def test_a_look_that_nobody_can_judge_counts_neither_way() -> None:
    maybe = Outcome(None, "Consul is away")
    assert after(state(), GOOD, maybe, GOOD).healthy is True
    assert after(state(healthy=True), BAD, maybe, BAD, maybe, BAD).healthy is False
    assert after(state(), maybe).reason == "Consul is away"
    assert after(state(healthy=False, reason="silent"), maybe).reason == "silent"


def bad(*about: str) -> Outcome:
    return Outcome(False, "differs", about=frozenset(about))


def test_bad_looks_are_a_row_only_for_what_they_have_in_common() -> None:
    well = state(healthy=True)
    assert after(well, bad("a", "b"), bad("b", "c"), bad("b")).healthy is False
    assert after(well, bad("a", "b"), bad("b", "c"), bad("c")).healthy is True
    assert after(well, bad("a"), bad("b"), bad("a"), bad("b")).healthy is True
    assert after(well, bad("a"), bad("a"), BAD).healthy is True
    assert after(well, BAD, BAD, bad("a")).healthy is True
    assert after(well, bad("a"), bad("b"), bad("b"), bad("b")).healthy is False


def test_a_good_look_ends_what_the_row_was_about() -> None:
    assert after(state(healthy=True), bad("a"), GOOD).about == frozenset()


def test_of_a_program_that_was_restarted_nothing_is_known() -> None:
    found = health.unknown(after(state(), bad("a"), bad("a"), bad("a")), 9.0)
    assert (found.healthy, found.since, found.reason, found.good, found.bad) == (None, 9.0, "", 0, 0)
    assert found.about == frozenset()


# -- what it comes to -------------------------------------------------------------------------------------------------


def test_the_node_is_ready_once_each_probe_that_counts_was_healthy() -> None:
    well, new, word = state(healthy=True), state(name="y"), state(name="z", level=NONE, healthy=False)
    assert health.ready([well, word])
    assert health.reasons([well, new]) == {"y": "not looked at yet"}
    assert health.reasons([after(new, BAD)]) == {"y": "not seen healthy yet: silent"}
    assert health.reasons([state(healthy=False, reason="silent")]) == {"x": "silent"}
    assert not health.ready([well, new])


def test_undecided_is_where_some_have_not_looked_and_nobody_found_anything() -> None:
    well, new, bad_one = state(healthy=True), state(name="y"), state(name="z", healthy=False)
    word = state(name="z", level=NONE, healthy=False)
    assert health.undecided([well, new, word])
    assert not health.undecided([well, word])
    assert not health.undecided([well, new, bad_one])


def test_what_is_not_alive_is_not_ready() -> None:
    dead = state(level=ALIVE, healthy=False)
    assert not health.alive([state(healthy=True), dead])
    assert not health.ready([dead])
    assert health.alive([state(healthy=False), state(level=ALIVE), state(level=ALIVE, healthy=True)])


# -- how it runs here -------------------------------------------------------------------------------------------------


def test_it_runs_where_it_applies_unless_the_configuration_says_otherwise() -> None:
    sbc = NodeFacts(role="sbc")
    assert health.runs(probe(), sbc, None)
    assert not health.runs(probe(), NodeFacts(), None)
    assert health.runs(probe(), sbc, Given())
    assert health.runs(probe(), NodeFacts(), Given(enabled=True))
    assert not health.runs(probe(), sbc, Given(enabled=False))


def test_the_configuration_wins_over_the_probes_own_figures() -> None:
    own = health.plan(probe(rise=2, fall=4), SPAWN, None, 7.0)
    assert (own.period, own.timeout, own.state.rise, own.state.fall, own.state.since) == (3.0, 1.0, 2, 4, 7.0)
    given = health.plan(probe(), SPAWN, Given(period=9.0, timeout=8.0, rise=7, fall=6), 0.0)
    assert (given.period, given.timeout, given.state.rise, given.state.fall) == (9.0, 8.0, 7, 6)


def test_a_period_may_follow_from_the_configuration() -> None:
    third = probe(period=lambda node: node.stale_after / 3)
    assert health.plan(third, NodeFacts(stale_after=30.0), None, 0.0).period == 10.0
    assert health.plan(third, NodeFacts(), Given(period=5.0), 0.0).period == 5.0


RESTARTS = {"level": ALIVE, "action": RESTART, "target": KAMAILIO}


@pytest.mark.parametrize(
    ("own", "given", "expected"),
    [
        (RESTARTS, None, (ALIVE, RESTART)),
        (RESTARTS, "none", (NONE, NONE)),
        (RESTARTS, "not-ready", (READY, NOT_READY)),
        (RESTARTS, "restart", (ALIVE, RESTART)),
        ({}, None, (NONE, NONE)),
        ({}, "not-ready", (READY, NOT_READY)),
        ({"target": KAMAILIO}, "restart", (NONE, RESTART)),
        ({"level": READY, "action": NOT_READY}, None, (READY, NOT_READY)),
    ],
)
def test_the_action_says_what_the_level_is(
    own: dict[str, object], given: str | None, expected: tuple[str, str]
) -> None:
    found = health.plan(probe(**own), SPAWN, Given(action=given), 0.0).state
    assert (found.level, found.action, found.advice) == (*expected, "")


def test_what_is_not_ours_to_restart_makes_not_ready_and_says_who_must_act() -> None:
    found = health.plan(probe(**RESTARTS), NodeFacts(kamailio="attach"), None, 0.0).state
    assert (found.level, found.action) == (READY, NOT_READY)
    assert after(found, BAD, BAD, BAD).told == "restart kamailio.service: silent"


def test_a_mere_word_about_what_is_not_ours_stays_one() -> None:
    word = probe(action=RESTART, target=CONSUL_TEMPLATE)
    assert health.plan(word, SPAWN, None, 0.0).state.action == RESTART
    found = health.plan(word, NodeFacts(consul_template="attach"), None, 0.0).state
    assert (found.level, found.action, found.advice) == (NONE, NONE, "restart consul-template.service")


# -- one look ---------------------------------------------------------------------------------------------------------


def raising(error: Exception) -> Probe:
    def run(world: World, timeout: float) -> Outcome:
        raise error

    return probe(run=run)


def test_a_look_that_nobody_answers_is_a_bad_one() -> None:
    found = health.look(raising(Unanswered("cannot get it: silence")), FakeWorld(), 1.0)
    assert found == Outcome(False, "cannot get it: silence")
    assert health.look(probe(), FakeWorld(), 1.0) is GOOD


@pytest.mark.parametrize("error", [KeyError("free"), ValueError("x"), TypeError("x"), ZeroDivisionError("x")])
def test_an_answer_that_cannot_be_read_is_a_bad_look(error: Exception) -> None:
    found = health.look(raising(error), FakeWorld(), 1.0)
    assert found.ok is False
    assert found.reason.startswith(f"cannot read the answer: {type(error).__name__}")


def test_a_defect_is_none_of_these() -> None:
    with pytest.raises(AttributeError):
        health.look(raising(AttributeError("ours")), FakeWorld(), 1.0)


def test_what_comes_too_late_is_a_bad_look() -> None:
    assert health.timed(GOOD, 1.0, 1.0) is GOOD
    assert health.timed(GOOD, 1.1, 1.0) == Outcome(False, "no answer within 1 s")
    assert health.timed(Outcome(None), 1.1, 1.0).ok is False
    assert health.timed(BAD, 1.1, 1.0) is BAD


def test_whether_rpc_answers_at_all() -> None:
    world = FakeWorld()
    assert health.rpc_answers(world, 1.0)
    world.kamailio.fail_next("core.uptime", RpcTimeout("cannot core.uptime: silence"))
    assert not health.rpc_answers(world, 1.0)


def test_a_method_that_kamailio_does_not_know_is_no_error() -> None:
    world = FakeWorld()
    world.kamailio.handlers["pkg.stats"] = lambda: ("x",)
    assert health.asked(world, "pkg.stats", 1.0) == ("x",)
    del world.kamailio.handlers["pkg.stats"]
    assert health.asked(world, "pkg.stats", 1.0) is None
    assert recording("core", "no_such").fault is not None
    world.kamailio.fail_next("pkg.stats", RpcTimeout("cannot pkg.stats: silence"))
    with pytest.raises(ConsulKamError):
        health.asked(world, "pkg.stats", 1.0)


def test_a_node_keeps_what_it_spawns() -> None:
    assert SPAWN.keeps(KAMAILIO)
    assert SPAWN.keeps(CONSUL_TEMPLATE)
    assert not NodeFacts().keeps(KAMAILIO)
    assert not SPAWN.keeps("")
