"""A node leaves under calls: SBC and routers as they ship, each with its Consul, its node, its Kamailio."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.registering import checks, known
from tests.lab import VERSIONS, ConsulAgent, Fault, Kamailio, Lab, wait_for
from tests.lab.fleet import QUICK, Fleet, Member, cli

LONG = QUICK.replace("quiet_for = 1.5", "quiet_for = 30").replace("announce_max = 6", "announce_max = 60")
"""It stays ANNOUNCING."""


@pytest.fixture
def fleet(tmp_path: Path, consul: ConsulAgent) -> Iterator[Fleet]:
    with Lab(tmp_path / "lab"), ExitStack() as stack:
        yield Fleet(stack, tmp_path, consul)


def maintenance(consul: ConsulAgent, node: Member) -> str:
    """The reason that Consul shows."""
    id = node.ask("status")["node"]["registration"]["id"]
    found = [check for name, check in checks(consul, id).items() if name.startswith("_service_maintenance")]
    return str(found[0]["Notes"]) if found else ""


def refuses(kamailio: Kamailio) -> bool:
    """Whether an INVITE would be; `htable.dump` lists what has expired as well."""
    try:
        return "503" in str(kamailio.rpc.call("htable.get", "consul_kam", "refuse"))
    except Fault:
        return False


# ---- no call is dropped


@pytest.mark.parametrize("version", [VERSIONS[0], pytest.param(VERSIONS[1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_router_leaves_under_calls(fleet: Fleet, who: str, version: str) -> None:
    fleet.start(version=version)
    leaver, other = fleet.routers
    with fleet.calls(who, rate=15, calls=150) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        end = json.loads(cli(leaver, "drain", "--reason", "new kernel", "--json"))
        assert (end["phase"], end["clean"], end["calls"], end["how"]) == ("DRAINED", True, 0, "no call is left")
        assert fleet.flags() == ["D", "A"], "in the list for what still comes, but chosen no more"
        assert maintenance(fleet.consul, leaver) == "consul_kam: new kernel"
        assert refuses(leaver.kamailio)
        assert leaver.stop() == 0
        assert calls.running(), "it left under calls"
        created, failed, cut = calls.wait(60)
    assert (created, failed, cut) == (150, 0, []), calls.errors()
    assert fleet.callee.calls == 150
    assert other.alive()


@pytest.mark.slow
def test_both_go_one_after_the_other_and_come_back(fleet: Fleet) -> None:
    fleet.start()
    first, second = fleet.routers
    with fleet.calls("callee", rate=15, calls=300) as calls:
        for node in (first, second):
            cli(node, "drain")
            pid = node.pid_of()
            assert node.ask("restart", 60.0)["ok"]
            node.runs(other_than=pid)
            assert node.draining()["phase"] == "DRAINED", "a restart does not undo it"
            wait_for("its programs", lambda node=node: not node.ask("draining")["unwell"], 30)  # type: ignore[misc]
            assert cli(node, "undrain").startswith("back")
            fleet.expect("A", "A")
        assert calls.wait(60) == (300, 0, []), calls.errors()


def test_a_drain_says_how_far_it_is(fleet: Fleet) -> None:
    fleet.start()
    said = cli(fleet.routers[0], "drain")
    assert [word for word in ("announcing", "refusing", "drained: no call is left") if word in said] != []
    assert "drained: no call is left" in said
    node = fleet.routers[0]
    status = node.ask("status")["node"]
    assert "drain: DRAINED: drained by an operator" in status["waits_for"]
    assert status["registration"]["state"] == "registered"
    assert "drain" in cli(node, "ps", code=1)


# ---- who may leave, and who comes back


def test_the_last_that_passes_is_not_drained_unless_forced(fleet: Fleet) -> None:
    fleet.start()
    first, second = fleet.routers
    cli(first, "drain")
    said = cli(second, "drain", code=1)
    assert "cannot drain: no other router passes: node-r1 on " in said
    assert "maintenance: consul_kam: drained by an operator" in said
    assert second.draining()["phase"] == "NONE"
    cli(second, "drain", "--force")
    assert maintenance(fleet.consul, second)
    assert fleet.flags() == ["D", "A"], "peers keep the last one that may be called"
    assert "back" in cli(second, "undrain")
    fleet.expect("D", "A")


@pytest.mark.slow
def test_undrain_enables_nothing_that_somebody_else_disabled(fleet: Fleet) -> None:
    fleet.start()
    node, id = fleet.routers[0], "node-r1"
    fleet.sbc.kamailio.rpc.call("dispatcher.set_state", "dp", 1, node.uri)
    cli(node, "drain")
    cli(node, "undrain")
    fleet.routers[1].phase("NONE")
    fleet.consul.register("router", "third", port=9)  # a reload of the SBC's list, with all that belongs to it
    wait_for("the third", lambda: len(fleet.sbc.kamailio.rpc.dispatcher()[1]) == 3, 20)
    assert fleet.flags()[0] == "D", "an operator's word in the SBC's Kamailio"
    fleet.sbc.kamailio.rpc.call("dispatcher.set_state", "ap", 1, node.uri)
    fleet.consul.maintenance(id, True, "by hand")
    fleet.expect("D", "A")
    cli(node, "drain")
    assert "somebody else's maintenance stays: by hand" in cli(node, "undrain", "--wait", "1", code=1)
    assert maintenance(fleet.consul, node) == "by hand"
    assert fleet.flags()[0] == "D"


@pytest.mark.slow
def test_the_deadline_passes_with_a_call_up(fleet: Fleet) -> None:
    fleet.start()
    node = fleet.routers[0]
    with fleet.calls("caller", rate=10, calls=20, seconds=20):
        wait_for("calls", lambda: fleet.callee.calls == 20, 20)
        said = cli(node, "drain", "--deadline", "4", code=1)
        assert "drained: the deadline has passed: 10 calls are left" in said
        assert refuses(node.kamailio), "as after any other drain"
        assert node.draining()["calls"] == 10
        wait_for("BYE of all", lambda: node.draining()["calls"] == 0, 40)
    assert "back" in cli(node, "undrain")


# ---- what happens meanwhile


@pytest.mark.slow
def test_it_survives_a_killed_supervisor_in_each_phase(fleet: Fleet) -> None:
    fleet.start()
    node = fleet.routers[0]
    with fleet.calls("callee", rate=10, calls=150, seconds=3) as calls:
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
    fleet.expect("A", "A")
    assert not refuses(node.kamailio)


@pytest.mark.slow
def test_the_word_of_a_dead_supervisor_lapses(fleet: Fleet) -> None:
    fleet.start()
    node = fleet.routers[0]
    cli(node, "drain")
    assert refuses(node.kamailio)
    node.kill9()
    wait_for("its end", lambda: not refuses(node.kamailio), 20, every=0.2)  # autoexpire = 10
    assert maintenance_at(fleet.consul, "node-r1"), "but peers know that it leaves"


def maintenance_at(consul: ConsulAgent, id: str) -> bool:
    return any(name.startswith("_service_maintenance") for name in checks(consul, id))


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_peers_engine_and_kamailio_are_away_meanwhile(fleet: Fleet) -> None:
    fleet.start()
    node, sbc = fleet.routers[0], fleet.sbc
    sbc.kill9()
    cli(node, "drain")
    assert fleet.flags() == ["A", "A"], "nobody tells it; it fails over on 503 instead"
    sbc.start()
    fleet.expect("D", "A")
    pid = sbc.pid_of()
    os.kill(pid, signal.SIGKILL)
    sbc.runs(other_than=pid)
    fleet.expect("D", "A")
    sbc.kill9()
    os.kill(sbc.identity().pid, signal.SIGKILL)  # type: ignore[union-attr]
    cli(node, "undrain")
    sbc.start()
    sbc.runs()
    fleet.expect("A", "A")


@pytest.mark.slow
def test_calls_fail_over_where_the_peer_does_not_know(fleet: Fleet) -> None:
    fleet.start()
    node, sbc = fleet.routers[0], fleet.sbc
    sbc.kill9()
    cli(node, "drain")
    with fleet.calls("callee", rate=15, calls=60, seconds=1) as calls:
        assert calls.wait(60) == (60, 0, []), calls.errors()
    assert node.draining()["calls"] == 0


@pytest.mark.slow
def test_consul_is_away_meanwhile(fleet: Fleet, tmp_path: Path) -> None:
    with ConsulAgent(_made(tmp_path / "own"), persist=True) as consul:
        fleet.consul = consul
        fleet.start()
        node = fleet.routers[0]
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
        assert not maintenance_at(consul, "node-r1")


def _made(path: Path) -> Path:
    path.mkdir()
    return path


# ---- the end of `run`


def on_stop(how: str, base: str = QUICK) -> str:
    return base.replace('on_stop = "leave"', f'on_stop = "{how}"' if how else "")


def end(node: Member, number: int = signal.SIGTERM) -> None:
    os.kill(node.pid, number)


def test_sigterm_drains_first(fleet: Fleet) -> None:
    fleet.start(drain=on_stop(""))  # its default, since the node has started its Kamailio
    node = fleet.routers[0]
    with fleet.calls("callee", rate=15, calls=200) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        end(node)
        node.phase("REFUSING")
        assert node.draining()["by"] == "end"
        node.hup()
        wait_for("its end", lambda: not node.alive(), 60)
        assert known(fleet.consul, "node-r1") is None
        assert calls.running()
        assert calls.wait(60) == (200, 0, []), calls.errors()
    assert node.stop() == 0
    node.start()
    node.ready()
    fleet.expect("A", "A")
    assert node.draining()["phase"] == "NONE", "who starts it wants it"


@pytest.mark.slow
def test_a_second_sigterm_cuts_the_drain_short(fleet: Fleet) -> None:
    fleet.start(drain=on_stop("drain", LONG))
    node = fleet.routers[0]
    end(node)
    node.phase("ANNOUNCING")
    node.logged("draining before the end")
    end(node, signal.SIGINT)
    wait_for("its end", lambda: not node.alive(), 20)
    assert node.stop() == 0
    assert known(fleet.consul, "node-r1") is None
    assert not node.kamailio.answers_options()


@pytest.mark.slow
def test_killed_while_it_drained_for_its_end_it_comes_up_undrained(fleet: Fleet) -> None:
    fleet.start(drain=on_stop("drain", LONG))
    node = fleet.routers[0]
    end(node)
    fleet.expect("D", "A")
    node.kill9()
    node.start()
    node.ready()
    fleet.expect("A", "A")
    assert node.draining() == {"phase": "NONE"}


@pytest.mark.slow
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_an_engine_beside_its_kamailio_ends_and_calls_go_on(fleet: Fleet, who: str) -> None:
    """Attach: it takes nothing away that is not its own, and the next one finds all as it was."""
    fleet.start(spawn=False, drain=on_stop(""))
    node = fleet.routers[0]
    with fleet.calls(who, rate=15, calls=200) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        assert node.stop() == 0
        assert maintenance_at(fleet.consul, "node-r1")
        fleet.expect("D", "A")
        assert node.kamailio.answers_options()
        assert not refuses(node.kamailio)
        node.start()
        node.ready()
        fleet.expect("A", "A")
        assert calls.wait(60) == (200, 0, []), calls.errors()
    assert not maintenance_at(fleet.consul, "node-r1")


# ---- what is missing


@pytest.mark.slow
def test_without_the_dialog_module_there_is_the_deadline_and_that_is_said(lab: Lab, consul: ConsulAgent) -> None:
    consul.register("sbc", "other", port=9)
    node = lab.node(consul, registered=True, more=QUICK)
    consul.register("router", "r01", port=9)
    node.ready()
    cli(node, "drain", "--deadline", "9", code=1)
    found: dict[str, Any] = node.ask("draining")["drain"]
    assert found["how"] == "the deadline has passed: nobody knows how many calls are left"
    assert found["trouble"].startswith("cannot refuse new calls: cannot htable.seti: ")
    assert "include examples/kamailio/drain.cfg" in found["trouble"]
    assert "no dialog module" in found["blind"]
    node.logged("cannot refuse new calls")


def test_without_a_role_there_is_nothing_to_drain(lab: Lab, consul: ConsulAgent) -> None:
    said = lab.engine(lab.kamailio(), consul).ask("drain")
    assert "has no [node] role" in said["error"]
