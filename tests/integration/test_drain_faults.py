"""What befalls a drain in its middle, and what becomes of it (docs/drain.md): nothing half, here or at a peer."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.registering import known
from tests.integration.test_drain import BOTH, LONG, maintenance, maintenance_at, refuses
from tests.integration.test_drain import fleet as fleet
from tests.lab import ConsulAgent, wait_for
from tests.lab.fleet import Fleet, cli

pytestmark = pytest.mark.slow


def whole(fleet: Fleet, who: str) -> None:
    """Undone, nothing is left of it: no phase, no file, no maintenance, no refusal, and both are called again."""
    fleet.expect("A", "A")
    fleet.callee.came.clear()
    with fleet.calls(who, rate=10, calls=20, seconds=1) as calls:
        assert calls.wait(60) == (20, 0, []), calls.errors()
    ports = {node.kamailio.sip_port for node in fleet.routers}
    assert {port for came in fleet.callee.came.values() for port in came} == ports
    for node in fleet.routers:
        assert node.draining() == {"phase": "NONE"}
        assert not (node.state / "drain.json").exists()
        assert not refuses(node.kamailio)
        assert not maintenance_at(fleet.consul, f"node-{node.directory.name}")


@BOTH
def test_it_survives_a_killed_supervisor_in_each_phase(fleet: Fleet, who: str) -> None:
    fleet.start()
    node = fleet.routers[0]
    with fleet.calls(who, rate=10, calls=150, seconds=3) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 20, 20)
        node.ask("drain", 15.0, reason="kernel")
        for phase in ("ANNOUNCING", "REFUSING", "DRAINED"):
            node.phase(phase)
            node.kill9()
            node.start()
            assert node.draining()["phase"] != "NONE"
            assert (node.draining()["reason"], node.draining()["by"]) == ("kernel", "operator")
        node.ready_but_for_drain()
        assert maintenance(fleet.consul, node) == "consul_kam: kernel"
        assert calls.wait(60) == (150, 0, []), calls.errors()
    fleet.expect("D", "A")
    cli(node, "undrain")
    whole(fleet, who)


def test_the_word_of_a_dead_supervisor_lapses(fleet: Fleet) -> None:
    fleet.start()
    node = fleet.routers[0]
    cli(node, "drain")
    assert refuses(node.kamailio)
    node.kill9()
    wait_for("its end", lambda: not refuses(node.kamailio), 20, every=0.2)  # autoexpire = 10
    assert maintenance_at(fleet.consul, "node-r1"), "but peers know that it leaves"


def test_what_was_drained_comes_up_drained(fleet: Fleet) -> None:
    """Until somebody says otherwise, and without a moment in which it would get calls."""
    fleet.start()
    node = fleet.routers[0]
    cli(node, "drain")
    assert node.stop() == 0
    wait_for("it is out of Consul", lambda: known(fleet.consul, "node-r1") is None, 10)
    node.start()
    wait_for("it is back", lambda: known(fleet.consul, "node-r1") is not None, 30)
    assert maintenance_at(fleet.consul, "node-r1")
    fleet.expect("D", "A")
    node.runs()
    wait_for("it refuses", lambda: refuses(node.kamailio), 20)
    cli(node, "undrain")
    fleet.expect("A", "A")


def test_its_own_kamailio_starts_anew_and_has_forgotten_its_calls(fleet: Fleet) -> None:
    fleet.start(drain=LONG)
    node = fleet.routers[0]
    with fleet.calls("caller", rate=10, calls=20, seconds=20):
        wait_for("calls", lambda: fleet.callee.calls == 20, 20)
        node.ask("drain", 15.0, lasts=12.0)
        wait_for("calls seen", lambda: node.draining()["calls"] == 10, 10)
        pid = node.pid_of()
        os.kill(pid, signal.SIGKILL)
        node.runs(other_than=pid)
        node.phase("DRAINED")
    found = node.draining()
    assert (found["clean"], found["how"]) == (False, "the deadline has passed: nobody knows how many calls are left")
    assert "started anew" in found["blind"]


@BOTH
def test_the_peers_engine_and_kamailio_are_away_meanwhile(fleet: Fleet, who: str) -> None:
    fleet.start()
    node, sbc = fleet.routers[0], fleet.sbc
    # Calls that send nothing for 12 s: an INVITE that a dying SBC has answered by 100 is not sent again.
    with fleet.calls(who, rate=10, calls=20, seconds=24) as calls:
        wait_for("calls", lambda: fleet.callee.calls == 20, 20)
        sbc.kill9()
        node.ask("drain", 15.0, lasts=90.0)
        node.phase("REFUSING")
        assert fleet.flags() == ["A", "A"], "nobody tells it; it fails over on 503 instead"
        sbc.start()
        fleet.expect("D", "A")
        pid = sbc.pid_of()
        os.kill(pid, signal.SIGKILL)
        sbc.runs(other_than=pid)
        fleet.expect("D", "A")
        assert calls.wait(90) == (20, 0, []), calls.errors()
        node.phase("DRAINED")
    assert node.draining()["clean"]
    sbc.kill9()
    os.kill(sbc.identity().pid, signal.SIGKILL)  # type: ignore[union-attr]
    cli(node, "undrain")
    sbc.start()
    sbc.runs()
    whole(fleet, who)


@BOTH
def test_calls_fail_over_where_the_peer_does_not_know(fleet: Fleet, who: str) -> None:
    fleet.start()
    node, sbc = fleet.routers[0], fleet.sbc
    sbc.kill9()
    cli(node, "drain")
    with fleet.calls(who, rate=15, calls=60, seconds=1) as calls:
        assert calls.wait(60) == (60, 0, []), calls.errors()
    assert node.draining()["calls"] == 0


@BOTH
def test_consul_is_away_meanwhile(fleet: Fleet, tmp_path: Path, who: str) -> None:
    with ConsulAgent(_made(tmp_path / "own"), persist=True) as consul:
        fleet.consul = consul
        fleet.start()
        node = fleet.routers[0]
        with fleet.calls(who, rate=10, calls=10_000) as calls:
            wait_for("calls", lambda: fleet.callee.calls > 20, 20)
            consul.stop()
            assert "nobody can say whether another router takes the calls" in cli(node, "drain", code=1)
            assert "drained: no call is left" in cli(node, "drain", "--force")
            assert not node.draining()["announced"]
            consul.start()
            wait_for("Consul knows", lambda: maintenance_at(consul, "node-r1"), 40)
            fleet.expect("D", "A")
            consul.stop()
            assert "cannot reach Consul" in cli(node, "undrain", "--wait", "1", code=1)
            consul.start()
            fleet.expect("A", "A", timeout=60)
            assert calls.running()
            created, failed, cut = calls.end(60)
            assert (failed, cut) == (0, []), calls.errors()
            assert created > 20
        assert not maintenance_at(consul, "node-r1")
        whole(fleet, who)


def _made(path: Path) -> Path:
    path.mkdir()
    return path


@BOTH
def test_the_deadline_passes_with_a_call_up(fleet: Fleet, who: str) -> None:
    fleet.start()
    node = fleet.routers[0]
    with fleet.calls(who, rate=10, calls=20, seconds=20) as calls:
        wait_for("calls", lambda: fleet.callee.calls == 20, 20)
        said = cli(node, "drain", "--deadline", "4", code=1)
        assert "drained: the deadline has passed: 10 calls are left" in said
        assert refuses(node.kamailio), "as after any other drain"
        assert node.draining()["calls"] == 10
        wait_for("BYE of all", lambda: node.draining()["calls"] == 0, 40)
        assert calls.wait(60) == (20, 0, []), "nobody cuts them"
    assert "back" in cli(node, "undrain")
    whole(fleet, who)
