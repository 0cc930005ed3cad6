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


BOTH = pytest.mark.parametrize("who", ["caller", "callee"])
"""Who hangs up: only the callee's BYE shows that whom the call came through is forgotten."""


@pytest.fixture
def fleet(tmp_path: Path, consul: ConsulAgent) -> Iterator[Fleet]:
    with Lab(tmp_path / "lab"), ExitStack() as stack:
        yield Fleet(stack, tmp_path, consul)


def maintenance(consul: ConsulAgent, node: Member) -> str:
    """The reason that Consul shows."""
    id = node.ask("status")["node"]["registration"]["id"]
    found = [check for name, check in checks(consul, id).items() if name.startswith("_service_maintenance")]
    return str(found[0]["Notes"]) if found else ""


def maintenance_at(consul: ConsulAgent, id: str) -> bool:
    return any(name.startswith("_service_maintenance") for name in checks(consul, id))


def refuses(kamailio: Kamailio) -> bool:
    """Whether an INVITE would be; `htable.dump` lists what has expired as well."""
    try:
        return "503" in str(kamailio.rpc.call("htable.get", "consul_kam", "refuse"))
    except Fault:
        return False


# ---- no call is dropped


@pytest.mark.parametrize("version", [VERSIONS[0], pytest.param(VERSIONS[1], marks=pytest.mark.slow)])
@BOTH
def test_a_router_leaves_under_calls(fleet: Fleet, who: str, version: str) -> None:
    fleet.start(version=version)
    leaver, other = fleet.routers
    with fleet.calls(who, rate=15, calls=1_000) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        end = json.loads(cli(leaver, "drain", "--reason", "new kernel", "--json"))
        assert (end["phase"], end["clean"], end["calls"]) == ("DRAINED", True, 0)
        assert end["how"].startswith("no call is left")
        fleet.expect("D", "A")  # in the list for what still comes, but chosen no more
        assert maintenance(fleet.consul, leaver) == "consul_kam: new kernel"
        assert refuses(leaver.kamailio)
        assert leaver.stop() == 0
        assert calls.running(), "it left under calls"
        created, failed, cut = calls.end(60)
    assert (failed, cut) == (0, []), calls.errors()
    assert fleet.callee.calls == created > 30
    assert other.alive()


@BOTH
@pytest.mark.slow
def test_both_go_one_after_the_other_and_come_back(fleet: Fleet, who: str) -> None:
    fleet.start()
    first, second = fleet.routers
    with fleet.calls(who, rate=15, calls=300) as calls:
        for node in (first, second):
            cli(node, "drain")
            pid = node.pid_of()
            node.restarts()
            node.runs(other_than=pid)
            assert node.draining()["phase"] == "DRAINED", "a restart does not undo it"
            wait_for("its programs", lambda node=node: not node.ask("draining")["unwell"], 30)  # type: ignore[misc]
            assert cli(node, "undrain").startswith("back")
            fleet.expect("A", "A")
        assert calls.wait(60) == (300, 0, []), calls.errors()


@pytest.mark.slow
def test_it_waits_for_the_answer_to_the_last_bye(fleet: Fleet) -> None:
    """dialog counts a call no more once its BYE has passed."""
    fleet.start()
    fleet.callee.slow_bye = 1.2
    node = fleet.routers[0]
    with fleet.calls("caller", rate=15, calls=150) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        assert "drained: no call is left" in cli(node, "drain")
        assert node.stop() == 0
        assert calls.wait(60) == (150, 0, []), calls.errors()
    assert "SETTLING" in [entry["phase"] for entry in node.journal() if entry.get("event") == "drain"]


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


# ---- the end of `run`


def on_stop(how: str, base: str = QUICK) -> str:
    return base.replace('on_stop = "leave"', f'on_stop = "{how}"' if how else "")


def end(node: Member, number: int = signal.SIGTERM) -> None:
    os.kill(node.pid, number)


@pytest.mark.parametrize("who", [pytest.param("caller", marks=pytest.mark.slow), "callee"])
def test_sigterm_drains_first(fleet: Fleet, who: str) -> None:
    fleet.start(drain=on_stop(""))  # its default, since the node has started its Kamailio
    node = fleet.routers[0]
    with fleet.calls(who, rate=15, calls=200) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        end(node)
        node.phase("ANNOUNCING")
        assert node.draining()["by"] == "end"
        node.hup()
        wait_for("its end", lambda: not node.alive(), 60)
        assert "REFUSING" in [entry["phase"] for entry in node.journal() if entry.get("event") == "drain"]
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
@BOTH
def test_an_engine_beside_its_kamailio_ends_and_calls_go_on(fleet: Fleet, who: str) -> None:
    """Attach: it takes nothing away that is not its own, and the next one finds all as it was."""
    fleet.start(spawn=False, drain=on_stop(""))
    node = fleet.routers[0]
    with fleet.calls(who, rate=15, calls=200) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 30, 20)
        assert node.stop() == 0
        assert maintenance_at(fleet.consul, "node-r1")
        fleet.expect("D", "A")
        assert node.kamailio.answers_options(10.0)
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
