"""The runner: threads that hang, results that come late, restarts; on a real loop, with probes of the test's own."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from consul_kam.app.health import Health
from consul_kam.app.loop import Loop
from consul_kam.config import Settings, parse
from consul_kam.core.health import ProbeState
from consul_kam.core.world import KAMAILIO, NodeFacts, ProcessFacts, SipReply
from consul_kam.errors import Unanswered
from consul_kam.testing import FakeWorld

NODE = NodeFacts(role="sbc", kamailio="spawn", sip=("udp:127.0.0.1:5060",), status_url="http://k/status")
ONLY = ("rpc", "sip_options", "http_status")
LATE = 0.1
"""Seconds of the probes' timeout here."""


def settings(only: tuple[str, ...] = ONLY, more: str = "fall = 2", **tables: str) -> Settings:
    names = ("rpc", "sip_options", "http_status", "consul", "kamailio_memory", "lists", "process", "render_age")
    text = "".join(
        f"[probes.{name}]\nenabled = {'true' if name in only else 'false'}\nperiod = 0.1\ntimeout = {LATE}\n"
        f"{tables.get(name, more)}\n"
        for name in names
    )
    return parse(text, "f.toml", {})


def well() -> FakeWorld:
    world = FakeWorld(NODE, sip={NODE.sip[0]: SipReply(200)}, said={NODE.status_url: 200, "consul": "127.0.0.1:8300"})
    world.programs[KAMAILIO] = ProcessFacts(1, alive=True)
    return world


class Hanging(FakeWorld):
    """Its status page never answers until `let_go`; `asked` counts."""

    def __init__(self, answer: int = 200) -> None:
        super().__init__(NODE, sip={NODE.sip[0]: SipReply(200)})
        self.let_go, self.asked, self.answer = threading.Event(), 0, answer

    def http_get(self, url: str, timeout: float) -> int:
        self.asked += 1
        self.let_go.wait(30)
        return self.answer


class Running:
    """A Health on a decision thread of its own; `on` runs something there and gives its result."""

    def __init__(self, world: FakeWorld, chosen: Settings) -> None:
        self.loop = Loop()
        self.health = Health(self.loop, chosen, world)
        self.told: list[tuple[str, bool | None]] = []
        self.health.listeners.append(lambda state: self.told.append((state.name, state.healthy)))
        self.thread = threading.Thread(target=lambda: self.loop.run(lambda: None), daemon=True)

    def on(self, call: Callable[[], object]) -> object:
        done, found = threading.Event(), list[object]()

        def run() -> None:
            found.append(call())
            done.set()

        self.loop.post(run)
        assert done.wait(10)
        return found[0]

    def state(self, name: str) -> ProbeState:
        found = self.on(lambda: self.health.states[name])
        assert isinstance(found, ProbeState)
        return found

    def wait(self, what: Callable[[], object]) -> None:
        until = time.monotonic() + 20
        while not self.on(what):
            assert time.monotonic() < until, self.on(lambda: dict(self.health.states))
            time.sleep(0.01)


@contextmanager
def running(world: FakeWorld, chosen: Settings | None = None) -> Iterator[Running]:
    one = Running(world, chosen or settings())
    one.thread.start()
    one.on(one.health.start)
    try:
        yield one
    finally:
        one.on(one.health.close)
        one.loop.post(one.loop.stop)
        one.thread.join(5)


def test_a_node_is_ready_once_all_that_counts_is_healthy_and_listeners_hear_each_turn() -> None:
    world = well()
    with running(world) as one:
        assert set(one.health.states) == set(ONLY)
        one.wait(lambda: one.health.ready)
        assert sorted(one.told) == [(name, True) for name in sorted(ONLY)]
        world.said[NODE.status_url] = 503
        one.wait(lambda: not one.health.ready)
        assert one.on(lambda: one.health.reasons) == {"http_status": f"GET {NODE.status_url}: 503, expected 200"}
        assert one.told[-1] == ("http_status", False)
        assert one.on(one.health.alive)
        world.said[NODE.status_url] = 200
        one.wait(lambda: one.health.ready)


def test_before_the_first_look_it_is_alive_and_not_ready() -> None:
    health = Health(Loop(), settings(), well())
    assert health.alive()
    assert not health.ready
    assert health.reasons == dict.fromkeys(sorted(ONLY), "not looked at yet")


def test_one_that_hangs_is_unhealthy_and_holds_up_nothing() -> None:
    world = Hanging()
    with running(world) as one:
        one.wait(lambda: one.health.states["http_status"].healthy is False)
        assert one.state("http_status").reason == f"no answer within {LATE:g} s"
        one.wait(lambda: all(one.health.states[name].healthy for name in ("rpc", "sip_options")))
        looks = world.kamailio.calls["core.uptime"]
        one.wait(lambda: world.kamailio.calls["core.uptime"] >= looks + 3)
        assert world.asked == 1
        world.let_go.set()
        one.wait(lambda: one.health.states["http_status"].healthy)


SELDOM = parse("[probes.http_status]\nperiod = 3600\ntimeout = 0.1", "f.toml", {})


def test_a_look_that_comes_back_late_is_not_counted_again() -> None:
    world = Hanging(answer=503)
    with running(world, SELDOM) as one:
        one.wait(lambda: one.health.states["http_status"].bad)
        world.let_go.set()
        one.wait(lambda: not one.health._probes["http_status"].busy)
        found = one.state("http_status")
        assert (found.bad, found.reason) == (1, "no answer within 0.1 s")


def test_the_timer_of_an_earlier_look_says_nothing_of_this_one() -> None:
    world = Hanging()
    with running(world, parse("[probes.http_status]\nperiod = 3600\ntimeout = 60", "f.toml", {})) as one:
        one.wait(lambda: world.asked)
        status = one.health._probes["http_status"]
        one.on(lambda: one.health._hangs(status, status.number - 1))
        assert (status.late, one.state("http_status").bad) == (False, 0)
        world.let_go.set()


def test_a_look_that_ends_after_close_is_not_counted() -> None:
    world = Hanging()
    with running(world, parse("[probes.http_status]\nperiod = 3600\ntimeout = 60", "f.toml", {})) as one:
        one.wait(lambda: world.asked)
        one.on(one.health.close)
        world.let_go.set()
        one.wait(lambda: not one.health._probes["http_status"].busy)
        assert one.state("http_status").healthy is None


def test_a_slow_good_answer_counts_as_none() -> None:
    class Slow(FakeWorld):
        def http_get(self, url: str, timeout: float) -> int:
            time.sleep(2 * LATE)
            return 200

    with running(Slow(NODE), settings(("http_status",))) as one:
        one.wait(lambda: one.health.states["http_status"].healthy is False)
        assert one.state("http_status").reason == f"no answer within {LATE:g} s"


def test_a_restart_forgets_what_was_known_of_the_program_and_of_no_other() -> None:
    world = well()
    with running(world, settings((*ONLY, "consul"))) as one:
        one.wait(lambda: one.health.ready and one.health.states["consul"].healthy)

        def restart() -> tuple[bool | None, bool | None]:
            one.health.restarted(KAMAILIO)
            return one.health.states["rpc"].healthy, one.health.states["consul"].healthy

        assert one.on(restart) == (None, True)
        one.wait(lambda: one.health.ready)


def test_a_look_that_began_before_a_restart_does_not_count_after_it() -> None:
    world = Hanging(answer=200)
    with running(world, parse("[probes.http_status]\nperiod = 3600\ntimeout = 60", "f.toml", {})) as one:
        one.wait(lambda: world.asked)
        one.on(lambda: one.health.restarted(KAMAILIO))
        world.let_go.set()
        one.wait(lambda: not one.health._probes["http_status"].busy)
        assert one.state("http_status").healthy is None


def test_gates_hold_readiness_back() -> None:
    why = ["boot: waiting for Consul"]
    with running(well()) as one:
        one.on(lambda: one.health.add_gate("boot", lambda: why[0]))
        one.wait(lambda: one.health.reasons == {"boot": why[0]})
        assert not one.on(lambda: one.health.ready)
        why[0] = ""
        assert one.on(lambda: one.health.ready)


def test_after_close_nobody_is_asked() -> None:
    world = well()
    with running(world) as one:
        one.wait(lambda: one.health.ready)
        one.on(one.health.close)
        for running_ in one.health._probes.values():
            running_.worker.close(5.0)
        looks, told = world.kamailio.calls["core.uptime"], len(one.told)
        world.said[NODE.status_url] = Unanswered("cannot get it")
        one.wait(lambda: not one.loop._timers)
        assert (world.kamailio.calls["core.uptime"], len(one.told)) == (looks, told)


def test_attached_the_reason_says_who_must_act() -> None:
    world = FakeWorld(NodeFacts(role="sbc", sip=NODE.sip))
    with running(world, settings(("sip_options",))) as one:
        one.wait(lambda: one.health.states["sip_options"].healthy is False)
        (reason,) = one.health.reasons.values()
        assert reason.startswith(f"restart kamailio.service: OPTIONS to {NODE.sip[0]}: ")
        assert one.on(one.health.alive)


@pytest.mark.parametrize("name", ["process", "consul"])
def test_facts_are_there_for_the_metrics(name: str) -> None:
    with running(well(), settings((name,))) as one:
        one.wait(lambda: one.health.states[name].healthy)
        assert ("kamailio_up" in one.state(name).facts) == (name == "process")
