"""Supervision: its table, its rules one by one, and a search over what a program and an operator may do."""

from dataclasses import replace
from typing import get_args

import pytest

from consul_kam.core import service as s
from consul_kam.core.service import Announce, Arm, GiveUp, Kill, Policy, Service, Spawn, Stage, Stop
from consul_kam.core.supervise import GOES, KILL_AGAIN, TABLE, step
from consul_kam.errors import InvalidTransition

POLICY = Policy(start_timeout=5, stop_timeout=3, first=0.5, longest=4, quiet=10, crash_limit=3, crash_window=60)


def play(service: Service, *events: tuple[s.Event, float], policy: Policy = POLICY) -> tuple[Service, list[s.Action]]:
    """The service after these (event, now), and every action of the last one."""
    actions: tuple[s.Action, ...] = ()
    for event, now in events:
        service, actions = step(service, event, now, policy)
    return service, list(actions)


def started(now: float = 0.0, policy: Policy = POLICY) -> Service:
    """One that was started, with pid 7, and is not ready yet."""
    service, (spawn,) = play(Service(), (s.StartRequested(), now), policy=policy)
    assert isinstance(spawn, Spawn)
    return step(service, s.Spawned(spawn.op, 7), now, policy)[0]


def running(now: float = 0.0, policy: Policy = POLICY) -> Service:
    return step(started(now, policy), s.Ready(7), now, policy)[0]


# ---- the table


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("kind", get_args(s.Event))
def test_every_pair_is_taken_or_raises(stage: Stage, kind: type) -> None:
    """What the shell cannot send in a stage is a defect; everything else has a handler that keeps to its word."""
    impossible = {
        s.Adopted: set(Stage) - {Stage.STOPPED},
        s.Spawned: set(Stage) - {Stage.STARTING, Stage.STOPPING},
        s.SpawnFailed: set(Stage) - {Stage.STARTING, Stage.STOPPING},
    }
    assert (kind not in TABLE[stage]) == (stage in impossible.get(kind, ()))


def test_what_cannot_be_raises() -> None:
    with pytest.raises(InvalidTransition, match=r"^cannot take Adopted in RUNNING$"):
        step(running(), s.Adopted(9), 1, POLICY)


def test_a_handler_that_breaks_its_word_raises() -> None:
    kept = GOES["ready"]
    GOES["ready"] = ()
    try:
        with pytest.raises(InvalidTransition, match=r"^cannot go from STARTING to RUNNING by ready$"):
            step(started(), s.Ready(7), 1, POLICY)
    finally:
        GOES["ready"] = kept


# ---- starting


def test_a_start_is_spawned_and_has_a_deadline_from_then_on() -> None:
    service, actions = play(Service(), (s.StartRequested(), 1.0))
    assert (service.stage, service.wanted, actions) == (Stage.STARTING, True, [Spawn(service.op)])
    service, actions = play(service, (s.Spawned(service.op, 7), 2.0))
    assert (service.pid, actions) == (7, [Announce("started"), Arm(service.op, 7.0)])
    service, actions = play(service, (s.Ready(7), 3.0))
    assert (service.stage, service.since, actions) == (Stage.RUNNING, 3.0, [Announce("ready"), Arm(service.op, 13.0)])


def test_another_ones_readiness_does_not_count() -> None:
    assert play(started(), (s.Ready(8), 1.0)) == (started(), [])
    waiting, _ = play(Service(), (s.StartRequested(), 0))
    assert play(waiting, (s.Ready(0), 1.0)) == (waiting, [])


def test_one_that_is_not_ready_in_time_is_killed_and_counts_as_crashed() -> None:
    service = started()
    service, actions = play(service, (s.Due(service.op), 5.0))
    told = Announce("killed", "not ready within 5 s")
    assert (service.stage, actions) == (Stage.KILLING, [told, Kill(7), Arm(service.op, 5.0 + KILL_AGAIN)])
    service, actions = play(service, (s.Due(service.op), 7.0))
    assert actions == [Kill(7), Arm(service.op, 7.0 + KILL_AGAIN)]
    service, actions = play(service, (s.Exited(7, "signal 9"), 7.5))
    assert (service.stage, service.failures, service.why) == (Stage.STARTING, 1, "not ready within 5 s")
    assert actions == [Announce("ended", "not ready within 5 s"), Spawn(service.op)]


def test_one_that_runs_already_is_adopted_and_has_to_show_that_it_is_ready() -> None:
    service, actions = play(Service(), (s.Adopted(9), 1.0))
    assert (service.stage, service.pid, service.wanted) == (Stage.STARTING, 9, True)
    assert actions == [Announce("adopted"), Arm(service.op, 6.0)]
    assert play(service, (s.Ready(9), 2.0))[0].stage is Stage.RUNNING


def test_a_timer_and_a_spawn_that_were_overtaken_are_late() -> None:
    assert play(running(), (s.Due(running().op - 1), 9.0)) == (running(), [])
    assert play(started(), (s.Spawned(started().op - 1, 8), 9.0)) == (started(), [])


# ---- crashes


def test_the_first_restart_is_immediate_then_each_waits_twice_as_long() -> None:
    policy = replace(POLICY, crash_limit=0)
    service, waits = running(policy=policy), []
    for now in range(1, 7):
        service, actions = play(service, (s.Exited(7, "signal 11"), float(now)), policy=policy)
        if service.stage is Stage.BACKOFF:
            (armed,) = [action for action in actions if isinstance(action, Arm)]
            waits.append(armed.at - now)
            service, actions = play(service, (s.Due(service.op), armed.at), policy=policy)
        assert actions[-1] == Spawn(service.op)
        service, _ = play(service, (s.Spawned(service.op, 7), float(now)), policy=policy)
    assert waits == [0.5, 1.0, 2.0, 4.0, 4.0]
    assert service.restarts == 6


def test_chance_adds_a_tenth_at_most() -> None:
    service = replace(started(), failures=1)
    _, actions = play(service, (s.Exited(7, "x", spread=1.0), 0.0))
    (armed,) = [action for action in actions if isinstance(action, Arm)]
    assert armed.at == pytest.approx(0.55)


def test_quiet_running_cleans_the_sheet() -> None:
    service = replace(running(), failures=4)
    service, actions = play(service, (s.Due(service.op), 10.0))
    assert (service.failures, actions) == (0, [])
    assert play(service, (s.Exited(7, "x"), 11.0))[0].stage is Stage.STARTING


def test_an_exit_of_another_process_is_late() -> None:
    assert play(running(), (s.Exited(8, "x"), 1.0)) == (running(), [])
    stopping, _ = play(running(), (s.StopRequested(), 1.0))
    assert play(stopping, (s.Exited(8, "x"), 1.0)) == (stopping, [])


def test_what_cannot_be_started_is_tried_again_with_waits() -> None:
    service, _ = play(Service(), (s.StartRequested(), 0))
    service, actions = play(service, (s.SpawnFailed(service.op, "no such file"), 1.0))
    assert actions == [Announce("ended", "no such file"), Spawn(service.op)]
    service, actions = play(service, (s.SpawnFailed(service.op, "no such file"), 1.0))
    assert (service.stage, actions[-1]) == (Stage.BACKOFF, Arm(service.op, 1.5))


def crash(service: Service, now: float, policy: Policy) -> tuple[Service, list[s.Action]]:
    service, actions = play(service, (s.Exited(7, "signal 6"), now), policy=policy)
    if service.stage is Stage.BACKOFF:
        service, _ = play(service, (s.Due(service.op), now), policy=policy)
    if service.stage is Stage.STARTING:
        service, _ = play(service, (s.Spawned(service.op, 7), now), policy=policy)
    return service, actions


def test_a_crash_loop_is_told_once_and_tried_on() -> None:
    service, told = running(), []
    for now in range(6):
        service, actions = crash(service, float(now), POLICY)
        told.append(Announce("crash loop", "4 times within 60 s") in actions)
    assert told == [False, False, False, True, False, False]
    assert service.stage is Stage.STARTING


def test_crashes_out_of_the_window_do_not_count() -> None:
    service = running()
    for now in range(0, 300, 30):
        service, actions = crash(service, float(now), POLICY)
        assert not any(isinstance(action, Announce) and action.word == "crash loop" for action in actions)


def test_a_crash_loop_may_end_it() -> None:
    policy = replace(POLICY, give_up=True)
    service = running(policy=policy)
    for now in range(4):
        service, actions = crash(service, float(now), policy)
    why = "ended 4 times within 60 s; last: signal 6"
    assert (service.stage, actions) == (
        Stage.FAILED,
        [Announce("ended", "signal 6"), Announce("failed", why), GiveUp(why)],
    )
    assert play(service, (s.StopRequested("x"), 5.0))[0].stage is Stage.STOPPED
    again, actions = play(service, (s.StartRequested(), 5.0))
    assert (again.stage, again.crashes, actions) == (Stage.STARTING, (), [Spawn(again.op)])


# ---- stopping and restarting


def test_a_stop_asks_first_and_kills_then() -> None:
    service, actions = play(running(), (s.StopRequested("end"), 1.0))
    assert (service.stage, actions) == (Stage.STOPPING, [Stop(7), Arm(service.op, 4.0)])
    service, actions = play(service, (s.Due(service.op), 4.0))
    assert actions == [Announce("killed", "did not end within 3 s"), Kill(7), Arm(service.op, 4.0 + KILL_AGAIN)]
    service, actions = play(service, (s.Exited(7, "signal 9"), 5.0))
    assert (service.stage, service.pid, actions) == (Stage.STOPPED, 0, [Announce("stopped", "end")])


def test_a_stop_during_the_spawn_ends_what_comes_of_it() -> None:
    service, (spawn,) = play(Service(), (s.StartRequested(), 0))
    assert isinstance(spawn, Spawn)
    stopping, actions = play(service, (s.StopRequested(), 1.0))
    assert (stopping.stage, actions) == (Stage.STOPPING, [])
    came, actions = play(stopping, (s.Spawned(spawn.op, 7), 2.0))
    assert actions == [Stop(7), Arm(came.op, 5.0)]
    assert play(came, (s.Exited(7, "exit code 0"), 3.0))[0].stage is Stage.STOPPED
    assert play(stopping, (s.SpawnFailed(spawn.op, "x"), 2.0))[0].stage is Stage.STOPPED
    wanted, _ = play(stopping, (s.StartRequested(), 1.5))
    assert Announce("ended", "x") in play(wanted, (s.SpawnFailed(spawn.op, "x"), 2.0))[1], "nobody asked for that"


def test_a_restart_is_no_crash_and_its_end_no_news() -> None:
    service, actions = play(running(), (s.RestartRequested("asked for"), 1.0))
    assert actions == [Announce("restarting", "asked for"), Stop(7), Arm(service.op, 4.0)]
    service, actions = play(service, (s.Exited(7, "exit code 0"), 2.0))
    assert (service.stage, service.failures, service.restarts) == (Stage.STARTING, 0, 1)
    assert actions == [Spawn(service.op)]


def test_a_restart_that_a_probe_asked_for_is_a_crash() -> None:
    service, _ = play(running(), (s.RestartRequested("rpc: no answer", blame=True), 1.0))
    service, actions = play(service, (s.Exited(7, "signal 15"), 2.0))
    assert (service.failures, actions[0]) == (1, Announce("ended", "rpc: no answer"))


def test_what_is_not_there_is_not_restarted_twice() -> None:
    waiting, _ = play(Service(), (s.StartRequested(), 0))
    assert play(waiting, (s.RestartRequested("x"), 1.0)) == (waiting, [])
    assert play(Service(), (s.RestartRequested("x"), 1.0)) == (Service(), [])


def test_a_start_while_it_ends_lets_it_start_again_and_a_stop_revokes_that() -> None:
    stopping, _ = play(running(), (s.StopRequested(), 1.0))
    wanted, actions = play(stopping, (s.StartRequested(), 1.5))
    assert actions == [Announce("restarting", stopping.why)]
    assert play(wanted, (s.RestartRequested("again"), 1.6)) == (wanted, [])
    assert play(wanted, (s.Exited(7, "x"), 2.0))[0].stage is Stage.STARTING
    unwanted, _ = play(wanted, (s.StopRequested("end"), 1.6))
    assert play(unwanted, (s.Exited(7, "x"), 2.0))[0].stage is Stage.STOPPED


def test_the_wait_after_a_crash_is_ended_by_a_start_and_by_a_stop() -> None:
    service = replace(started(), failures=3)
    waiting, _ = play(service, (s.Exited(7, "x"), 0.0))
    assert waiting.stage is Stage.BACKOFF
    assert play(waiting, (s.StartRequested(), 1.0))[0].stage is Stage.STARTING
    assert play(waiting, (s.StopRequested(), 1.0))[0].stage is Stage.STOPPED
    assert play(waiting, (s.Exited(7, "x"), 1.0)) == (waiting, [])


# ---- the search


def test_whatever_happens_there_is_never_more_than_one_and_it_runs_in_the_end() -> None:
    """Every order of up to six events of a program, an operator and time: one process at most, no timer is missing,
    and what is wanted and behaves is RUNNING in the end, what is not wanted STOPPED.
    """
    seen: set[object] = set()
    front = [(Service(), frozenset[s.Action](), 0)]
    for _ in range(6):
        after = []
        for service, pending, there in front:
            for event in _possible(service, pending, there):
                now_there, left = _world(event, pending, there)
                stepped, actions = step(service, event, 1.0, POLICY)
                assert sum(isinstance(a, Spawn) for a in actions) <= 1
                assert not (now_there and any(isinstance(a, Spawn) for a in actions)), (service, event)
                merged = frozenset(a for a in {*left, *actions} if isinstance(a, Spawn | Arm) and a.op == stepped.op)
                key = (replace(stepped, op=0), frozenset(type(a) for a in merged), now_there)
                if key not in seen:
                    seen.add(key)
                    after.append((stepped, merged, now_there))
                    _settles(stepped, merged, now_there)
        front = after
    assert len(seen) > 50


def _possible(service: Service, pending: frozenset[s.Action], there: int) -> list[s.Event]:
    events: list[s.Event] = [
        s.StartRequested(),
        s.StopRequested(),
        s.RestartRequested("x"),
        s.RestartRequested("y", True),
    ]
    for action in pending:
        if isinstance(action, Spawn):
            events += [s.Spawned(action.op, 7), s.SpawnFailed(action.op, "no")]
        elif isinstance(action, Arm):
            events.append(s.Due(action.op))
    return [*events, s.Ready(7), s.Exited(7, "x")] if there else events


def _world(event: s.Event, pending: frozenset[s.Action], there: int) -> tuple[int, frozenset[s.Action]]:
    if isinstance(event, s.Spawned):
        return 7, frozenset(a for a in pending if not isinstance(a, Spawn))
    if isinstance(event, s.Exited):
        return 0, pending
    used = {s.SpawnFailed: Spawn, s.Due: Arm}.get(type(event))
    return there, frozenset(a for a in pending if used is None or not isinstance(a, used))


def _settles(service: Service, pending: frozenset[s.Action], there: int) -> None:
    """From here a program that behaves gets to rest within a few steps."""
    for _ in range(12):
        if service.stage is (Stage.RUNNING if service.wanted else Stage.STOPPED):
            return
        spawn = next((a for a in pending if isinstance(a, Spawn)), None)
        event: s.Event
        if spawn is not None:
            event = s.Spawned(spawn.op, 7)
        elif there and service.stage in (Stage.STOPPING, Stage.KILLING):
            event = s.Exited(7, "x")
        elif there and service.stage is Stage.STARTING:
            event = s.Ready(7)
        else:
            (event,) = (s.Due(a.op) for a in pending if isinstance(a, Arm))
        there, pending = _world(event, pending, there)
        service, actions = step(service, event, 1.0, POLICY)
        pending = frozenset(a for a in {*pending, *actions} if isinstance(a, Spawn | Arm) and a.op == service.op)
    raise AssertionError(f"{service} does not come to rest")
