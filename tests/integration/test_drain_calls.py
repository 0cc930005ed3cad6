"""Calls that do not know of Consul: SBCs whose callers fail over, and a router that is killed without a word."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.callee import Callee
from tests.lab.example import Example
from tests.lab.fleet import DEFINE, TO_ROUTERS, Calls, Fleet, Member, cli, member, routers

pytestmark = pytest.mark.slow


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[ExitStack]:
    with Lab(tmp_path / "lab"), ExitStack() as opened:
        yield opened


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_an_sbc_leaves_whose_callers_fail_over(stack: ExitStack, tmp_path: Path, consul: ConsulAgent, who: str) -> None:
    """A carrier that was never told goes on calling it until it hears 503, and then calls the other one."""
    callee = stack.enter_context(Callee())
    router = stack.enter_context(member(tmp_path / "r1", consul, "router", routers([callee.uri])))
    sbcs: list[Member] = [
        stack.enter_context(member(tmp_path / f"s{number}", consul, "sbc", TO_ROUTERS)) for number in (1, 2)
    ]
    for node in (router, *sbcs):
        node.ready()
    place = tmp_path / "carrier"
    place.mkdir()
    targets = [f"2 {sbc.uri} 0 10" for sbc in sbcs]
    carrier = stack.enter_context(Example(place, "router", "", targets, DEFINE))
    for sbc in sbcs:
        wait_for("its router", lambda sbc=sbc: sbc.kamailio.rpc.dispatcher().get(1), 20)  # type: ignore[misc]
    with Calls(tmp_path / "sipp", carrier, callee, who, 15, 1000, 2.0) as calls:
        wait_for("calls", lambda: callee.calls > 40, 20)
        for node in sbcs:
            said = cli(node, "drain", "--reason", "new kernel")
            assert "drained: no call is left" in said
            node.restarts()
            node.ready_but_for_drain()
            assert "back" in cli(node, "undrain")
        assert calls.running(), "they went under calls"
        created, failed, cut = calls.end(60)
    assert (failed, cut) == (0, []), calls.errors()
    assert created > 150


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_killed_router_costs_no_call(stack: ExitStack, tmp_path: Path, consul: ConsulAgent, who: str) -> None:
    """New calls fail over; what belongs to a call is sent again (RFC 3261, timer E), and meets the next Kamailio."""
    fleet = Fleet(stack, tmp_path, consul).start()
    node = fleet.routers[0]
    with fleet.calls(who, 15, 1000, seconds=6) as calls:  # a re-INVITE that waits 2 s is done before the callee's BYE
        wait_for("calls", lambda: fleet.callee.calls > 40, 20)
        for _ in range(3):
            pid = node.pid_of()
            os.kill(pid, signal.SIGKILL)
            node.runs(other_than=pid)
            node.ready()
            wait_for("calls", lambda count=fleet.callee.calls: fleet.callee.calls > count + 30, 20)  # type: ignore[misc]
        created, failed, cut = calls.end(60)
    assert (failed, cut) == (0, []), calls.errors()
    assert created > 100
