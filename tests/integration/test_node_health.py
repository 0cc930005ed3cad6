"""A node's health, its registration and its end, wired together, with the real programs."""

import json
import os
import signal
import urllib.error
import urllib.request
from typing import Any

from tests.lab import ConsulAgent, Lab, Node, Process, free_port, wait_for
from tests.lab.process import freeze
from tests.lab.world import BASE, every_version

QUICK = """
[probes.rpc]
period = 0.2
timeout = 0.5
[probes.sip_options]
period = 0.2
timeout = 0.5
[probes.http_status]
period = 0.2
"""


def service(consul: ConsulAgent, id: str) -> dict[str, Any] | None:
    """As the agent knows it."""
    services = consul.ask("GET", "/v1/agent/services")
    assert isinstance(services, dict)
    return services.get(id)


def passing(consul: ConsulAgent, name: str) -> list[str]:
    found = consul.ask("GET", f"/v1/health/service/{name}?passing")
    assert isinstance(found, list)
    return [entry["Service"]["ID"] for entry in found]


def probe(node: Node, name: str) -> dict[str, Any]:
    return next(each for each in node.ask("status")["node"]["probes"] if each["name"] == name)


def page(node: Node, port: int, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@every_version
def test_it_is_registered_once_it_is_ready_and_not_before(lab: Lab, consul: ConsulAgent) -> None:
    """As the article's data.json has it; the tests' sbc is no router, so that its own list is not changed by it."""
    consul.register("router", "r01", port=BASE + 1)
    port = free_port()
    node = lab.node(consul, registered=True, more=QUICK, listen=f"127.0.0.1:{port}")
    name = node.ask("status")["node"]["name"]
    node.ready()
    wait_for("the registration", lambda: name in passing(consul, "sbc"), 10, node.log)
    found = service(consul, name)
    assert found is not None
    assert (found["Service"], found["Port"], sorted(found["Tags"])) == (
        "sbc", node.kamailio.sip_port, ["kamailio", "sbc"],
    )  # fmt: skip
    checks = consul.ask("GET", "/v1/agent/checks")
    assert isinstance(checks, dict)
    (check,) = [check for check in checks.values() if check["ServiceID"] == name]
    assert (check["Type"], check["Status"]) == ("http", "passing")
    assert page(node, port, "/readyz")[0] == 200
    assert node.stop() == 0
    assert service(consul, name) is None


def test_an_end_during_the_start_leaves_nothing_in_consul(lab: Lab, consul: ConsulAgent) -> None:
    consul.register("router", "r01", port=BASE + 1)
    node = lab.node(consul, registered=True)
    name = node.ask("status")["node"]["name"]
    os.kill(node.pid, signal.SIGTERM)
    wait_for("the end", lambda: not node.alive(), 20, node.log)
    assert service(consul, name) is None


def test_stuck_sip_workers_are_told_from_a_dead_rpc_and_kamailio_is_started_anew(lab: Lab, consul: ConsulAgent) -> None:
    consul.register("router", "r01", port=BASE + 1)
    node = lab.node(consul, more=QUICK)
    node.ready()
    pid = node.pid_of()
    told = node.kamailio.rpc.call("core.psx")
    assert isinstance(told, list)
    stuck = [int(str(each["PID"])) for each in told if str(each["DSC"]).startswith("udp receiver")]
    assert stuck
    for each in stuck:
        freeze(each)
    node.runs(other_than=pid)
    node.ready()
    assert "probe=sip_options" in node.logged("RPC answers, so its SIP workers are stuck")
    assert "sip_options" in node.logged("event=restarting")


def test_beside_a_kamailio_of_its_own_unit_somebody_is_asked_for_a_restart(lab: Lab, consul: ConsulAgent) -> None:
    consul.register("router", "r01", port=BASE + 1)
    asked = lab.directory / "ask"
    asked.mkdir()
    lines = f'min_gap = 0.02\nrestart_file = "{asked}/restart-kamailio"'
    node = lab.node(consul, spawn=False, registered=True, kamailio_lines=lines, more=QUICK)
    name = node.ask("status")["node"]["name"]
    node.ready()
    wait_for("the registration", lambda: name in passing(consul, "sbc"), 10, node.log)
    os.killpg(node.kamailio.pid, signal.SIGSTOP)
    try:
        wait_for("the request", (asked / "restart-kamailio").exists, 20, node.log)
        waits = node.ask("status")["node"]["waits_for"]
        assert "restart kamailio.service" in waits
        assert service(consul, name) is not None, "the checks speak; taking it out would hide it"
    finally:
        os.killpg(node.kamailio.pid, signal.SIGCONT)
    node.ready()


@every_version
def test_a_kamailio_that_its_own_unit_restarts_is_verified_again(lab: Lab, consul: ConsulAgent) -> None:
    for number in (1, 2):
        consul.register("router", f"r{number:02d}", port=BASE + number)
    node = lab.node(consul, spawn=False)
    node.ready()
    node.kamailio.list_file.write_text("")
    node.kamailio.restart()
    wait_for("both routers", lambda: len(node.kamailio.rpc.dispatcher().get(1, [])) == 2, 20, node.log)
    node.ready()


def test_an_rtpengine_is_registered_while_it_answers(lab: Lab, consul: ConsulAgent) -> None:
    """Role rtp: no Kamailio, no list, a TTL check that a ping of the NG protocol feeds."""
    ng = free_port()
    daemon = rtpengine(lab, ng)
    node = lab.rtp(consul, ng)
    name = node.ask("status")["node"]["name"]
    wait_for("the registration", lambda: passing(consul, "rtp") == [name], 20, node.log)
    found = service(consul, name)
    assert found is not None
    assert (found["Port"], sorted(found["Tags"])) == (ng, ["rtp", "rtpengine"])
    daemon.stop(signal.SIGKILL)
    wait_for("critical", lambda: passing(consul, "rtp") == [], 20, node.log)
    assert service(consul, name) is not None
    daemon = rtpengine(lab, ng)
    wait_for("passing again", lambda: passing(consul, "rtp") == [name], 20, node.log)
    assert node.stop() == 0
    assert service(consul, name) is None
    daemon.stop()


def rtpengine(lab: Lab, ng: int) -> Process:
    """The real daemon, its NG protocol on UDP at this port."""
    media = free_port()
    argv = [
        "rtpengine",
        "--config-file=none",
        "--foreground",
        "--table=-1",
        "--interface=127.0.0.1",
        f"--listen-ng=127.0.0.1:{ng}",
    ]
    argv += [
        f"--port-min={media}",
        f"--port-max={media + 20}",
        f"--pidfile={lab.directory}/rtpengine.pid",
        "--log-stderr",
    ]
    return Process(argv, lab.directory / "rtpengine.log")
