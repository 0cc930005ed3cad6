"""`/livez`, `/readyz` and `/metrics` of a real engine, when all is well and when something is not."""

import os
import re
import signal
import socket
import subprocess
import sys
from typing import Any

import pytest

from consul_kam.core.metrics import METRICS
from tests.docs.test_monitoring import expressions, selectors
from tests.lab import ConsulAgent, Engine, Lab, uris, wait_for
from tests.lab.engine import PLUGINS
from tests.lab.http import get, get_json, readiness, scrape, value
from tests.lab.ports import free_port
from tests.lab.world import World, every_version, uri

DISPATCHER = {"dataset": "dispatcher"}


def served(lab: Lab, consul: ConsulAgent, host: str = "127.0.0.1", **options: Any) -> World:
    return World(lab, consul, listen=f"{host}:{free_port()}", **options)


def gauge(world: World, name: str, **labels: str) -> float | None:
    return value(scrape(world.engine.listen or ""), f"consul_kam_{name}", **labels)


def wait_ready(world: World, ready: bool = True) -> dict[str, Any]:
    listen = world.engine.listen or ""
    wait_for(f"ready: {ready}", lambda: readiness(listen)["ready"] is ready, 15.0, world.engine.log, every=0.05)
    return readiness(listen)


def run(engine: Engine) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "consul_kam", "run"]
    return subprocess.run(argv, env=engine.env, capture_output=True, text=True, timeout=30, check=False)


@every_version
def test_a_change_shows_in_the_metrics_of_its_dataset(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, verify_every=1.0)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    found = scrape(world.engine.listen or "")
    for name, expected in {
        "records": 2, "memory_records": 2, "memory_equal": 1, "held_records": 0, "refused_records": 0,
        "dropped_records": 0, "draining_records": 0, "paused": 0, "pinned": 0, "observed": 0, "reload_busy_total": 0,
    }.items():  # fmt: skip
        assert value(found, f"consul_kam_{name}", **DISPATCHER) == expected, name
    assert value(found, "consul_kam_staging_usable", datacenter="", **DISPATCHER) == 1
    assert value(found, "consul_kam_phase", phase="DEGRADED", **DISPATCHER) == 0
    told = ("PUBLISHED", "HELD", "REJECTED")
    counted = [value(found, "consul_kam_releases_total", verdict=verdict, **DISPATCHER) for verdict in told]
    wait_for("as many in the journal", lambda: [*map(world.engine.verdicts().count, told)] == counted, 10)
    for stage in ("parse", "write", "reload", "readback", "publish", "memory", "verified"):
        labels = {"stage": stage, **DISPATCHER}
        assert (value(found, "consul_kam_change_duration_seconds_count", **labels) or 0) >= 1, stage
    assert (value(found, "consul_kam_process_rss_bytes", process="consul-kam") or 0) > 2**20
    read_at = value(found, "consul_kam_memory_read_timestamp_seconds", **DISPATCHER)
    wait_for(
        "memory is read again", lambda: gauge(world, "memory_read_timestamp_seconds", **DISPATCHER) != read_at, 10.0
    )


def test_what_dashboard_and_rules_ask_for_is_served_with_its_help(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    status, text = get(world.engine.listen or "", "/metrics")
    assert status == 200
    helped = set(re.findall(r"^# HELP (\w+) \S", text, re.MULTILINE))
    assert helped == {metric.name for metric in METRICS}
    asked = {selector.name for _, expr in expressions() for selector in selectors(expr)} - {"up"}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in asked} <= helped
    without = {name for name in helped if not re.search(rf"^{name}(_bucket)?[{{ ]", text, re.MULTILINE)}
    absent = ("consul_kam_probe_", "consul_kam_regist", "consul_kam_drain_")  # there are none without a role
    absent += ("consul_kam_certificate_", "consul_kam_vault_", "consul_kam_secret_")  # nor where none is configured
    absent += ("consul_kam_environment_",)
    assert {name for name in without if not name.startswith(absent)} == set()


def test_kamailio_killed_is_alive_and_not_ready_until_it_is_back_with_its_list(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    wait_ready(world)
    world.kam.kill9()
    told = wait_ready(world, False)
    wait_for("the reason", lambda: "kamailio" in readiness(world.engine.listen or "")["reasons"], 10.0, every=0.05)
    assert set(told["reasons"]) <= {"kamailio", "dispatcher"}
    assert get_json(world.engine.listen or "", "/livez") == (200, {"alive": True})
    assert gauge(world, "rpc_up") == 0
    assert gauge(world, "ready") == 0
    assert gauge(world, "memory_equal", **DISPATCHER) is None
    world.kam.start()
    wait_ready(world)
    assert uris(world.kam.rpc.dispatcher()) == [uri(1), uri(2)]
    assert gauge(world, "rpc_up") == 1


def test_a_frozen_consul_makes_nobody_unready(lab: Lab) -> None:
    consul = lab.consul()
    world = served(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    consul.pause(True)
    try:
        assert wait_ready(world)["reasons"] == {}
        assert get(world.engine.listen or "", "/livez")[0] == 200
        world.restart_engine()
        assert wait_ready(world)["reasons"] == {}
        assert gauge(world, "records", **DISPATCHER) == 2
    finally:
        consul.pause(False)


def test_a_rejected_list_is_counted_and_the_node_stays_ready(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, templates=False)
    (world.engine.staging / "dispatcher").write_text(f"1 {uri(1)} 0 10\n")
    world.expect(1)
    world.rest()
    (world.engine.staging / "dispatcher").write_text('{"end":"dispatcher","records":7}\n')
    world.said("REJECTED")
    wait_for("it is shown", lambda: gauge(world, "staging_usable", datacenter="", **DISPATCHER) == 0, 10.0)
    assert gauge(world, "releases_total", verdict="REJECTED", **DISPATCHER) == 1
    assert wait_ready(world)["reasons"] == {}


def test_a_change_that_waits_for_kamailios_window_leaves_the_node_ready(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, kamailio={"reload_delta": 12})
    world.add(1)
    world.expect(1)
    world.rest()
    world.add(2)
    world.verdict("BUSY")
    assert gauge(world, "phase", phase="WAITING", **DISPATCHER) == 1
    assert readiness(world.engine.listen or "") == {"ready": True, "reasons": {}, "probes": {}}
    assert gauge(world, "memory_equal", **DISPATCHER) == 0
    assert (gauge(world, "reload_busy_total", **DISPATCHER) or 0) >= 1
    world.expect(1, 2, timeout=40)
    world.rest()
    assert gauge(world, "memory_equal", **DISPATCHER) == 1


def test_what_is_held_and_what_an_operator_said_is_shown(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, dispatcher="hold_for = 60")
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.remove(2, 3)
    world.said("HELD")
    world.rest()
    assert (gauge(world, "held_records", **DISPATCHER) or 0) >= 1
    assert gauge(world, "paused", **DISPATCHER) == 0
    world.engine.ask("pause")
    assert gauge(world, "paused", **DISPATCHER) == 1


def test_memory_that_is_neither_wanted_nor_proven_is_a_reason(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, more='mode = "observe"\n', start=False)
    world.kam.list_file.write_text(f"1 {uri(9)} 0 10\n")
    world.kam.rpc.call("dispatcher.reload")
    world.engine.start()
    world.add(1, 2)
    world.said("OBSERVED")
    world.engine.wait("all is staged", lambda status: status["records"] == 2)
    told = wait_ready(world, False)
    assert told["reasons"] == {"dispatcher": "memory differs: 2 missing, 1 extra"}
    assert gauge(world, "memory_equal", **DISPATCHER) == 0
    assert gauge(world, "observed", **DISPATCHER) == 1


def test_nothing_wanted_is_not_ready(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, templates=False)
    expected = {"dispatcher": "nothing is staged, and there is no last known good"}
    listen = world.engine.listen or ""
    wait_for("the reason", lambda: readiness(listen)["reasons"] == expected, 10.0, world.engine.log, every=0.05)


def test_it_listens_on_ipv6_too(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, host="[::1]")
    assert get(world.engine.listen or "", "/livez")[0] == 200


def test_a_port_that_was_asked_for_and_is_taken_ends_run(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, start=False, templates=False)
    host, _, port = (world.engine.listen or "").rpartition(":")
    with socket.create_server((host, int(port))):
        done = run(world.engine)
    assert done.returncode == 2
    assert done.stderr.startswith(f"cannot listen at {host}:{port}: another program does; set [http] listen")
    assert done.stderr.count("\n") == 1


def test_a_default_port_that_is_taken_is_a_warning(lab: Lab, consul: ConsulAgent) -> None:
    with socket.socket() as other:
        try:
            other.bind(("127.0.0.1", 9160))
            other.listen()
        except OSError:
            pass  # somebody else has it, which is as good
        world = World(lab, consul, listen=None)
        world.add(1)
        world.expect(1)
        said = "cannot listen at 127.0.0.1:9160: another program does"
        wait_for("its word", lambda: said in world.engine.log.read_text(), 20)
        assert "level=warning" in world.engine.log.read_text()


def test_a_second_engine_says_that_there_is_one_and_not_that_a_port_is_taken(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul)
    done = run(world.engine)
    assert done.returncode != 0
    assert "another engine" in done.stderr
    assert "[http] listen" not in done.stderr
    assert get(world.engine.listen or "", "/livez")[0] == 200


def test_another_port_is_taken_up_by_sighup_and_one_that_is_taken_refused(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul)
    engine, first, second = world.engine, world.engine.listen or "", f"127.0.0.1:{free_port()}"

    def listen_at(wanted: str) -> None:
        engine.config.write_text(re.sub(r'(?m)^listen = ".*"$', f'listen = "{wanted}"', engine.config.read_text()))
        os.kill(engine.pid, signal.SIGHUP)

    listen_at(second)
    wait_for("the second port", lambda: answers(second), 15.0, engine.log, every=0.05)
    assert not answers(first)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        listen_at(taken)
        refused = f"cannot listen at {taken}: another program does"
        wait_for("a refusal", lambda: refused in engine.log.read_text(), 15.0, engine.log, every=0.05)
    wait_for("the second port again", lambda: answers(second), 15.0, engine.log, every=0.05)
    world.add(1)
    world.expect(1)


def test_a_nodes_programs_are_shown_and_their_restarts_counted(lab: Lab, consul: ConsulAgent) -> None:
    consul.register("router", "r01", port=int(uri(1).rpartition(":")[2]))
    node = lab.node(consul, listen=f"127.0.0.1:{free_port()}")
    node.ready()
    listen = node.listen or ""

    def shown(name: str, program: str) -> float | None:
        return value(scrape(listen), f"consul_kam_process_{name}", process=program)

    for program in ("kamailio", "consul-template"):
        assert (shown("up", program), shown("restarts_total", program)) == (1, 0)
    assert readiness(listen)["ready"]
    old = node.pid_of()
    os.kill(old, signal.SIGKILL)
    node.runs(other_than=old)
    assert (shown("up", "kamailio"), shown("restarts_total", "kamailio")) == (1, 1)
    wait_for("ready again", lambda: readiness(listen)["ready"], 20.0, node.log, every=0.05)


def test_a_node_that_waits_for_consul_is_not_ready(lab: Lab) -> None:
    consul = lab.consul()
    consul.pause(True)
    try:
        node = lab.node(consul, listen=f"127.0.0.1:{free_port()}", node_lines="boot_timeout = 60")
        listen = node.listen or ""
        waits = "Consul's first answer"
        wait_for(
            "the reason", lambda: readiness(listen)["reasons"].get("programs") == waits, 10.0, node.log, every=0.05
        )
        node.logged('"probe unwell" probe=rpc')
        assert get_json(listen, "/livez")[0] == 200
        assert value(scrape(listen), "consul_kam_process_up", process="kamailio") == 0
    finally:
        consul.pause(False)


def answers(listen: str) -> bool:
    try:
        return get(listen, "/livez")[0] == 200
    except OSError:
        return False


def test_an_engine_that_kam_apply_started_listens_nowhere(lab: Lab, consul: ConsulAgent) -> None:
    world = served(lab, consul, start=False, templates=False)
    (world.engine.staging / "dispatcher").write_text(f"1 {uri(1)} 0 10\n")
    env = {**world.engine.env, "PATH": f"{sys.prefix}/bin:/usr/bin:/bin"}
    subprocess.run([PLUGINS / "kam-apply"], env=env, timeout=60, check=True)
    world.expect(1)
    assert world.engine.ask("status")["detached"]
    with pytest.raises(ConnectionRefusedError):
        get(world.engine.listen or "", "/livez")
