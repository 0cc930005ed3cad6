"""Killed again and again, under calls and changes: the supervisor costs nothing, its programs come back."""

import os
import signal

import pytest

from tests.integration.test_node import holds
from tests.lab import ConsulAgent, Lab, Rpc, program, uris, wait_for
from tests.lab.process import freeze
from tests.lab.world import BASE, uri

KILLS = 20


def test_twenty_killed_supervisors_cost_no_call_and_no_change(lab: Lab, consul: ConsulAgent) -> None:
    """Each new one adopts the same Kamailio; what changed while there was none is in memory soon after."""
    for number in range(1, 4):
        lab.uas(BASE + number)
    node = lab.node(consul)
    for number in range(1, 4):
        consul.register("router", f"r{number:02d}", port=BASE + number)
    node.ready()
    pid, rpc = node.pid_of(), Rpc(node.kamailio.ctl)
    wait_for("three routers", lambda: len(uris(rpc.dispatcher())) == 3, 10)
    sipp = lab.sipp(node.kamailio, rate=20, calls=30_000)
    for turn in range(KILLS):
        node.kill9()
        priority = turn % 9 + 1
        consul.register("router", "r02", port=BASE + 2, meta={"priority": str(priority)})
        node.start()
        wait_for(
            f"the change of turn {turn}",
            lambda priority=priority: any(  # type: ignore[misc]
                d.uri == uri(2) and d.priority == priority for d in rpc.dispatcher().get(1, [])
            ),
            20,
            node.log,
            0.02,
        )
        assert sipp.running()
    sipp.stop()
    calls = sipp.stats()
    assert calls.created > 2 * KILLS
    assert calls.failed == 0, sipp.errors()
    assert node.pid_of() == pid


def test_a_frozen_consul_template_is_named_and_started_anew(lab: Lab, consul: ConsulAgent) -> None:
    """It stalls without a word (consul-template#1074): only a look at Consul's answer tells."""
    consul.register("router", "r01", port=BASE + 1)
    node = lab.node(consul, more=f'[consul_template]\nstale_after = 1\npath = "{program("consul-template")}"\n')
    node.ready()
    pid = node.pid_of("consul-template")
    freeze(pid)
    consul.register("router", "r02", port=BASE + 2)
    node.runs("consul-template", other_than=pid, timeout=40)
    holds(node, 1, 2)
    assert uri(2) in node.logged('"probe unwell" probe=render_age')


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM])
def test_a_kamailio_that_ends_by_itself_is_back_with_its_list(lab: Lab, consul: ConsulAgent, number: int) -> None:
    for each in (1, 2):
        consul.register("router", f"r{each:02d}", port=BASE + each)
    node = lab.node(consul)
    node.ready()
    pid = node.pid_of()
    os.kill(pid, number)
    node.runs(other_than=pid)
    holds(node, 1, 2)
