"""`restart --rolling`: every node is told at once, and they go one after the other."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_lock import ConsulLock
from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.fleet import QUICK, Fleet, Member, cli

KEY = "consul_kam/rolling/router"


@pytest.fixture
def fleet(tmp_path: Path, consul: ConsulAgent) -> Iterator[Fleet]:
    with Lab(tmp_path / "lab"), ExitStack() as stack:
        yield Fleet(stack, tmp_path, consul)


class Going:
    """`consul-kam restart --rolling` in the background."""

    def __init__(self, node: Member, *words: str) -> None:
        argv = [sys.executable, "-m", "consul_kam", "restart", "--rolling", *words]
        env = {**os.environ, **node.env}
        self._process = subprocess.Popen(argv, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def ended(self, timeout: float = 240) -> tuple[int, str]:
        said, _ = self._process.communicate(timeout=timeout)
        return self._process.returncode, said

    def kill9(self) -> None:
        self._process.kill()
        self._process.communicate()


def lock(consul: ConsulAgent, name: str = "test") -> ConsulLock:
    return ConsulLock(Consul(consul.address), KEY, name)


@pytest.mark.parametrize("who", [pytest.param("caller", marks=pytest.mark.slow), "callee"])
def test_all_at_once_and_no_call_is_cut(fleet: Fleet, who: str) -> None:
    fleet.start()
    before = [node.pid_of() for node in fleet.routers]
    with fleet.calls(who, rate=10, calls=600) as calls:
        wait_for("calls", lambda: fleet.callee.calls > 20, 20)
        going = [Going(node) for node in fleet.routers]
        for each in going:
            code, said = each.ended()
            assert (code, "is back" in said) == (0, True), said
        assert calls.running(), "they went under calls"
        assert calls.wait(120) == (600, 0, []), calls.errors()
    assert [node.pid_of() != pid for node, pid in zip(fleet.routers, before, strict=True)] == [True, True]
    fleet.expect("A", "A")
    held = lock(fleet.consul).read()
    assert (held.session, held.note["state"]) == ("", "done")
    moments = [_drained(node) for node in fleet.routers]
    (_, first_end), (second_begin, _) = sorted(moments)
    assert first_end <= second_begin, "one at a time"


def _drained(node: Member) -> tuple[float, float]:
    """When its drain began and ended, by its journal."""
    phases = [entry for entry in node.journal() if entry.get("event") == "drain"]
    begun = next(entry["at"] for entry in phases if entry["phase"] == "ANNOUNCING")
    return begun, next(entry["at"] for entry in phases if entry["phase"] == "NONE")


@pytest.mark.slow
def test_a_node_that_does_not_come_back_stops_the_next(fleet: Fleet) -> None:
    fleet.start(count=3)
    first, second, _ = fleet.routers
    code, said = Going(first, "--run", "false").ended()
    assert code == 1
    assert "cannot restart it: 'false' ended with 1; it stays drained" in said
    assert first.draining()["phase"] == "DRAINED"
    code, said = Going(second).ended()
    assert code == 1
    assert "cannot go on: not every other one passes: node-r1 on lab: maintenance: consul_kam: rolling restart" in said
    assert second.draining() == {"phase": "NONE"}
    assert first.stop() == 0  # it is gone from Consul altogether
    code, said = Going(second).ended()
    assert code == 1
    assert "cannot go on: node-r1 went before and did not come back (failed: cannot restart it" in said
    first.start()
    first.ready_but_for_drain()
    cli(first, "undrain")
    code, said = Going(second).ended()
    assert code == 0, said


@pytest.mark.slow
def test_whose_turn_it_is_dies_and_the_next_one_sees_that_it_is_still_drained(fleet: Fleet) -> None:
    fleet.start(
        drain=QUICK.replace("quiet_for = 1.5", "quiet_for = 60").replace("announce_max = 6", "announce_max = 90")
    )
    first, second = fleet.routers
    going = Going(first)
    first.phase("ANNOUNCING")
    code, said = Going(second, "--wait", "1").ended()
    assert (code, "cannot go on: node-r1 still has the turn after 1 s" in said) == (1, True)
    going.kill9()
    code, said = Going(second).ended()  # its session ends: 15 s to 30 s, and a delay of 5 s
    assert code == 1
    assert "not every other one passes: node-r1 on lab: maintenance" in said
    assert first.draining()["phase"] in ("ANNOUNCING", "DRAINED")


def test_kamailio_that_is_not_ours_needs_a_command(fleet: Fleet) -> None:
    fleet.start(spawn=False)
    node = fleet.routers[0]
    code, said = Going(node).ended()
    assert (code, "cannot restart kamailio: it is not ours; name its command: --run" in said) == (1, True)
    own = node.kamailio
    script = node.directory / "restart.py"
    script.write_text(f"import pathlib, time\npathlib.Path({str(node.directory)!r}, 'asked').touch()\ntime.sleep(4)\n")
    going = Going(node, "--json", "--run", f"{sys.executable} {script}")
    wait_for("its command", (node.directory / "asked").exists, 60)
    assert node.draining()["phase"] == "DRAINED"
    own.restart()
    code, said = going.ended()
    assert code == 0, said
    assert json.loads(said)["drained"]["clean"]
    fleet.expect("A", "A")


@pytest.mark.slow
def test_kamailio_that_a_unit_restarts_is_asked_for_by_file(fleet: Fleet) -> None:
    fleet.start(spawn=False)
    node = fleet.routers[0]
    asked, text = node.directory / "restart-kamailio", node.config.read_text()
    node.config.write_text(text.replace("probing = true", f'probing = true\nrestart_file = "{asked}"'))
    going = Going(node)
    wait_for("its request", asked.exists, 60)
    assert node.draining()["phase"] == "DRAINED"
    node.kamailio.restart()
    code, said = going.ended()
    assert (code, "is back" in said) == (0, True), said


# ---- the lock itself


def test_one_at_a_time_and_its_note_stays(consul: ConsulAgent) -> None:
    one, other = lock(consul, "one"), lock(consul, "other")
    assert one.read() == ("", {})
    assert not one.renew()
    assert one.acquire({"node": "a"})
    assert not other.acquire({"node": "b"})
    assert one.renew()
    assert one.acquire({"node": "a", "more": 1}), "another note"
    assert other.read().note == {"node": "a", "more": 1}
    one.release({"node": "a", "done": True})
    assert other.read() == ("", {"node": "a", "done": True})
    assert other.acquire(other.read().note)
    one.release()  # it has it no more
    assert other.read().session
    other.release()
    assert other.read() == ("", {"node": "a", "done": True})


def test_who_was_taken_for_dead_has_it_no_more(consul: ConsulAgent) -> None:
    one = lock(consul)
    assert one.acquire({"node": "a"})
    consul.ask("PUT", f"/v1/session/destroy/{one.read().session}")
    assert not one.renew()
    assert not one.renew()
    one.release({"node": "lost"})
    assert one.read() == ("", {"node": "a"})


def test_what_somebody_else_wrote_there_is_no_note(consul: ConsulAgent) -> None:
    for value in ("[1]", "hello", ""):
        consul.request("PUT", f"/v1/kv/{KEY}", value)
        assert lock(consul).read() == ("", {})
