"""The probes that ask Kamailio, against the real one, whole and with some of its processes stopped."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from consul_kam import settings as keys
from consul_kam.app.health import Health
from consul_kam.app.world import NodeWorld
from consul_kam.core import health
from consul_kam.errors import RpcFault
from consul_kam.probes.sip_options import SILENT, STUCK
from tests.lab import Kamailio, Lab, wait_for
from tests.lab.process import freeze
from tests.lab.world import every_version
from tests.probes.node import becomes, found, loop, on, settings, until, world

pytestmark = every_version
ROUTE = 'request_route { if ($ua == "consul_kam") { %s exit; } sl_send_reply("200", "OK"); exit; }'
"""What is said to our OPTIONS; the lab waits for a 200 to its own."""
ASK = ("rpc", "sip_options", "http_status", "kamailio_memory")


def processes(kam: Kamailio) -> dict[int, str]:
    """pid -> what core.ps says that it is."""
    said = kam.rpc.call("core.ps")
    kam.rpc.close()  # a connection is served by the ctl process, which a test may stop
    return {int(str(pid)): str(name) for pid, name in zip(said[::2], said[1::2], strict=True)}


@contextmanager
def stopped(kam: Kamailio, *kinds: str) -> Iterator[None]:
    """SIGSTOP to the processes whose name starts like this, none: to all."""
    pids = [pid for pid, name in processes(kam).items() if name.startswith(kinds or "")]
    assert pids
    for pid in pids:
        freeze(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def start(lab: Lab) -> tuple[Kamailio, NodeWorld]:
    kam = lab.kamailio()
    return kam, world(settings(kam))


def test_a_kamailio_that_is_well(lab: Lab) -> None:
    kam, here = start(lab)
    for name in ASK:
        assert becomes(name, here, True).reason == "", name
    assert found("sip_options", here).facts == {"endpoints": 2.0, "unanswered": 0.0}
    facts = found("kamailio_memory", here).facts
    assert facts["shm_total_bytes"] == kam.options.shm * 2**20
    assert facts["pkg_total_bytes"] == kam.options.pkg * 2**20
    assert 0.5 < facts["shm_free_bytes"] / facts["shm_total_bytes"] < 1.0
    assert 0.5 < facts["pkg_free_bytes"] / facts["pkg_total_bytes"] < 1.0


def test_stopped_udp_workers_are_told_from_a_dead_rpc(lab: Lab) -> None:
    kam, here = start(lab)
    udp, tcp = here.node.sip
    with stopped(kam, "udp receiver"):
        wait_for("udp alone", lambda: found("sip_options", here, 1.0).about == {udp}, 20)
        outcome = found("sip_options", here, 5.0)
        assert (outcome.ok, outcome.about) == (False, {udp})
        assert outcome.reason == f"OPTIONS to {udp}: no final response within 5 s; {STUCK}"
        becomes("rpc", here, True)
        becomes("http_status", here, True)
        assert tcp not in outcome.reason
    assert becomes("sip_options", here, True).reason == ""


def test_stopped_tcp_workers_are_found_over_tcp(lab: Lab) -> None:
    kam, here = start(lab)
    _, tcp = here.node.sip
    with stopped(kam, "tcp receiver"):
        outcome = found("sip_options", here, 5.0)
        assert outcome.about == {tcp}
        assert outcome.reason.endswith(STUCK)
        assert found("http_status", here, 0.5).ok is False
    becomes("sip_options", here, True)
    becomes("http_status", here, True)


def test_a_dead_rpc_is_told_from_stopped_workers(lab: Lab) -> None:
    kam, here = start(lab)
    with stopped(kam, "ctl handler"):
        outcome = found("rpc", here, 0.5)
        assert outcome.ok is False
        assert "core.uptime" in outcome.reason
        becomes("sip_options", here, True)
    becomes("rpc", here, True)


def test_where_all_is_stopped_rpc_does_not_answer_either(lab: Lab) -> None:
    kam, here = start(lab)
    with stopped(kam):
        outcome = found("sip_options", here, 0.5)
        assert outcome.reason.endswith(SILENT)
        assert outcome.about == set(here.node.sip)
        assert found("rpc", here, 0.5).ok is False
        assert found("kamailio_memory", here, 0.5).ok is False
    for name in ASK:
        becomes(name, here, True)


def test_a_kamailio_that_is_gone_and_comes_back(lab: Lab) -> None:
    kam, here = start(lab)
    becomes("rpc", here, True)
    kam.kill9()
    for name in ASK:
        assert found(name, here).ok is False, name
    assert "Connection refused" in found("sip_options", here).reason
    kam.start()
    for name in ASK:
        becomes(name, here, True)


SPAWNED = """mode = "spawn"
[datasets.dispatcher]
file = "/nowhere/dispatcher.list"
[probes.lists]
enabled = false
[probes.process]
enabled = false
[probes.sip_options]
period = 0.2
timeout = 0.5
[consul_template]
mode = "attach"
"""


def test_a_node_with_stuck_workers_is_alive_and_not_ready_and_asks_for_a_restart(lab: Lab) -> None:
    kam = lab.kamailio()
    with loop() as one:
        node = Health(one, settings(kam, SPAWNED), world(settings(kam, SPAWNED), on=one))
        on(one, node.start)
        until(one, lambda: node.ready)
        with stopped(kam, "udp receiver"):
            until(one, lambda: not node.ready)
            assert on(one, node.alive)
            state = node.states["sip_options"]
            assert (state.healthy, state.action, state.target) == (False, "restart", "kamailio")
            assert node.states["rpc"].healthy is True
            stuck = lambda: {name: why.endswith(STUCK) for name, why in node.reasons.items()}  # noqa: E731
            until(one, lambda: stuck() == {"sip_options": True})
        until(one, lambda: node.ready)
        on(one, node.close)


def test_threads_ask_at_the_same_time(lab: Lab) -> None:
    _, here = start(lab)
    said: list[bool] = []
    threads = [
        threading.Thread(target=lambda: said.extend(found("rpc", here, 20.0).ok is True for _ in range(300)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert said == [True] * 1200


def test_any_final_response_of_the_script_is_an_answer(lab: Lab) -> None:
    kam = lab.kamailio(route=ROUTE % 'sl_send_reply("503", "Full");')
    becomes("sip_options", world(settings(kam)), True)


def test_a_script_that_drops_options_is_no_answer(lab: Lab) -> None:
    kam = lab.kamailio(route=ROUTE % "")
    assert found("sip_options", world(settings(kam)), 5.0).reason.endswith(STUCK)


def test_a_status_page_that_is_another(lab: Lab) -> None:
    kam = lab.kamailio()
    chosen = settings(kam)
    other = chosen.kamailio.status_url.replace("/status", "/other")
    here = world(replace(chosen, kamailio=keys.replace(chosen.kamailio, status_url=other)))
    assert found("http_status", here).reason == f"GET {other}: 404, expected 200"


def test_a_method_of_a_module_that_is_not_loaded(lab: Lab) -> None:
    _, here = start(lab)
    with pytest.raises(RpcFault):
        here.rpc("dlg.stats_active", deadline=2.0)
    assert health.asked(here, "dlg.stats_active", 2.0) is None


def test_little_memory_is_told_of_a_real_one(lab: Lab) -> None:
    kam = lab.kamailio(modparams='loadmodule "htable.so"\nmodparam("htable", "htable", "big=>size=8;")', shm=32)
    here = world(settings(kam))
    assert found("kamailio_memory", here).ok is True
    for number in range(1_500):
        kam.rpc.call("htable.sets", "big", f"k{number}", "x" * 30_000)
        if number % 20 == 0 and found("kamailio_memory", here).ok is False:
            break
    outcome = found("kamailio_memory", here)
    assert (outcome.ok, outcome.about) == (False, {"shared"})
    assert outcome.reason.endswith("of 32 MiB shared memory are free: give it more by -m")
