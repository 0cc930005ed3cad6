"""An operator's words, and an engine that keeps its hands off."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab import ConsulAgent, Engine, Fault, Lab, uris, wait_for
from tests.lab.world import World, uri


def command(engine: Engine, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "consul_kam", *words]
    return subprocess.run(argv, env=engine.env, capture_output=True, text=True, timeout=30, check=False)


def test_rollback_pins_until_approve(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    for count in (1, 2, 3):
        world.add(count)
        world.expect(*range(1, count + 1))
        world.rest()
    world.engine.ask("rollback", dataset="dispatcher")
    world.expect(1, 2)
    world.add(4)
    world.engine.wait("the newer list is staged", lambda status: _offered(world) == 4)
    since = world.expect(1, 2)
    world.restart_engine()
    assert world.rest()["pinned"]
    assert world.seen.never(lambda memory: len(uris(memory)) != 2, since)
    world.engine.ask("approve", dataset="dispatcher")
    world.expect(1, 2, 3, 4)
    assert world.rest()["pinned"] is None


def test_each_rollback_goes_one_further_back_and_a_restart_counts_for_none(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    for count in (1, 2, 3):
        world.add(count)
        world.expect(*range(1, count + 1))
        world.rest()
    names = world.engine.ask("history")["releases"]["dispatcher"]
    world.restart_engine()
    world.rest()
    assert world.engine.ask("history")["releases"]["dispatcher"] == names
    assert world.engine.ask("rollback")["release"] == names[-2]
    world.expect(1, 2)
    world.rest()
    assert world.engine.ask("rollback")["release"] == names[-3]
    world.expect(1)


def _offered(world: World) -> int:
    return len((world.engine.staging / "dispatcher").read_text().splitlines()) - 1


def test_a_named_release_is_put_back_and_an_unknown_one_refused(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    name = world.engine.ask("history")["releases"]["dispatcher"][-1]
    world.add(3)
    world.expect(1, 2, 3)
    world.rest()
    assert world.engine.ask("rollback", release=name)["release"] == name
    world.expect(1, 2)
    assert "no release 999999" in str(world.engine.ask("rollback", release="999999")["error"])


def test_pause_and_resume(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    before = world.kam.list_file.read_bytes()
    world.engine.ask("pause")
    world.add(2)
    world.said("OBSERVED")
    assert world.kam.list_file.read_bytes() == before
    world.restart_engine()
    world.add(3)
    world.engine.wait("the pause goes on", lambda status: status["paused"] and "2 missing" in status["reason"])
    assert uris(world.kam.rpc.dispatcher()) == [uri(1)]
    world.engine.ask("resume")
    world.expect(1, 2, 3)


def test_observe_writes_nothing_and_says_what_it_would_do(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, more='mode = "observe"\n', start=False)
    world.kam.list_file.write_text(f"1 {uri(9)} 0 10\n")
    world.kam.rpc.call("dispatcher.reload")
    before = world.kam.list_file.stat()
    world.add(1, 2)
    world.engine.start()
    world.engine.wait("the difference", lambda status: "2 missing, 1 extra" in status["reason"])
    world.kam.restart()
    world.add(3)
    world.engine.wait("the newer difference", lambda status: "3 missing, 1 extra" in status["reason"])
    assert world.kam.list_file.stat() == before
    assert {path.name for path in world.kam.live.iterdir()} == {"dbtext", "dispatcher.list"}
    assert uris(world.kam.rpc.dispatcher()) == [uri(9)]


def test_diff_reads_memory_first_or_says_from_when_it_is(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, more='mode = "observe"\n', verify_every=600)
    world.kam.list_file.write_text(f"1 {uri(1)} 0 10\n")
    world.kam.rpc.call("dispatcher.reload")
    world.add(1)
    world.engine.wait("the list", lambda status: status["records"] == 1)
    for turn in range(5):
        (shown,) = world.engine.ask("diff")["datasets"]
        assert (shown["stale"], sorted(shown["extra"])) == (False, [f"1 sip:10.6.6.{n}:5060" for n in range(turn)])
        world.kam.rpc.call("dispatcher.add", 1, f"sip:10.6.6.{turn}:5060")
    world.kam.stop()
    assert world.engine.ask("diff", deadline=10.0)["datasets"] == [{"name": "dispatcher", "known": False}]


def test_diff_in_a_closed_window_says_from_when_it_is(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, {"reload_delta": 5})
    world.add(1)
    world.expect(1)
    world.rest()
    world.add(2)
    world.engine.wait("the window", lambda status: status["phase"] == "WAITING")
    shown: dict[str, Any] = {}

    def stale() -> bool:
        """Not while Kamailio is being asked again, as each second."""
        shown.update(world.engine.ask("diff")["datasets"][0])
        return bool(shown["stale"])

    wait_for("a diff of before", stale, 4)
    assert len(shown["missing"]) == 1
    assert shown["read_at"] <= time.time()
    world.expect(1, 2)
    world.rest()
    (again,) = world.engine.ask("diff")["datasets"]
    assert (again["stale"], again["equal"]) == (False, True)


def test_two_engines_at_once(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    second = command(world.engine, "run")
    assert second.returncode != 0
    assert second.stderr.startswith("cannot ")
    assert second.stderr.count("\n") == 1
    other = Engine(lab.directory / "other", world.kam, consul.address)
    elsewhere = command(other, "run")
    assert elsewhere.returncode != 0
    assert "another engine" in elsewhere.stderr
    assert elsewhere.stderr.count("\n") == 1
    world.add(2)
    world.expect(1, 2)
    assert world.rest()["verdict"] == "PUBLISHED"


def test_drift_by_hand_is_repaired_at_the_tick(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, verify_every=1)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    world.kam.rpc.call("dispatcher.add", 1, "sip:10.6.6.6:5060")
    assert "1 extra" in world.said("DRIFT")["difference"]
    world.expect(1, 2)
    world.verdict("PUBLISHED")
    world.kam.rpc.call("dispatcher.remove", 1, uri(1))
    wait_for("the second drift", lambda: world.engine.verdicts().count("DRIFT") == 2, 15)
    world.expect(1, 2)
    world.kam.list_file.write_text("1 sip:10.7.7.7:5060\n")
    world.engine.wait("the live file", lambda status: status["live"]["state"] == "equal")
    assert uri(1) in world.kam.list_file.read_text()
    with pytest.raises(Fault):
        world.kam.rpc.call("dispatcher.set_state", "dx", 1, "sip:10.6.6.6:5060")


def test_a_restart_of_kamailio_is_noticed_without_a_tick(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, verify_every=600)
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.rest()
    world.kam.kill9()
    world.kam.list_file.write_text("")
    world.add(4)
    world.engine.wait("Kamailio is away", lambda status: status["verdict"] == "BUSY")
    world.kam.start()
    world.expect(1, 2, 3, 4)
    world.rest()
    world.kam.list_file.write_text(f"1 {uri(1)} 0 10 duid=r01;rweight=1\n")
    world.kam.restart()
    world.expect(1, 2, 3, 4)


ALERT = """\
import json, os, sys, time
from pathlib import Path
entry = json.load(sys.stdin)
with open(Path(__file__).with_name("alerts"), "a") as file:
    print(json.dumps({**entry, "environment": dict(os.environ)}), file=file, flush=True)
time.sleep(600)
"""


def test_the_alert_command_gets_json_and_a_hanging_one_delays_nothing(
    lab: Lab, consul: ConsulAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "alert.py"
    script.write_text(ALERT)
    alert = f'[alert]\ncommand = ["{sys.executable}", "{script}"]\ndeadline = 5\nenvironment = ["PAGER_URL"]\n'
    secrets = {"CONSUL_HTTP_TOKEN": "x", "VAULT_TOKEN": "y", "DBURL": "z"}
    env = {**secrets, "PAGER_URL": "http://127.0.0.1/", "LC_ALL": "C.UTF-8"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    world = World(lab, consul, dispatcher="hold_for = 60", more=alert)

    def alerts() -> list[dict[str, object]]:
        path = tmp_path / "alerts"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    world.add(1)
    world.expect(1)
    world.remove(1)
    wait_for("the alert of the hold", lambda: [a["verdict"] for a in alerts()] == ["HELD"], 15)
    assert alerts()[0]["held"] == {f"1 {uri(1)}": "only 0 left, at least 1 wanted"}
    given = alerts()[0]["environment"]
    assert isinstance(given, dict)
    assert (given["PATH"], given["PAGER_URL"], given["LC_ALL"]) == (os.environ["PATH"], env["PAGER_URL"], "C.UTF-8")
    assert not {*secrets, "CONSUL_KAM_CONFIG"} & set(given)
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    (world.engine.staging / "dispatcher").write_text("{")
    world.said("REJECTED")
    world.kam.list_file.unlink()
    world.kam.list_file.mkdir()
    world.add(4)
    wait_for("all three", lambda: {a["verdict"] for a in alerts()} == {"HELD", "REJECTED", "DEGRADED"}, 40)
    world.kam.list_file.rmdir()
    world.expect(1, 2, 3, 4, timeout=40)


def test_a_rollback_to_a_damaged_release_is_refused_and_ends_no_engine(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    world.add(2)
    world.expect(1, 2)
    world.rest()
    name = world.engine.ask("history")["releases"]["dispatcher"][-2]
    about = world.engine.state / "releases" / "dispatcher" / f"{name}.json"
    about.write_text('{"parts": [[1, 2, 3]]}')
    reply = world.engine.ask("rollback", dataset="dispatcher", release=name)
    assert not reply["ok"]
    assert str(reply["error"]).startswith(f"cannot roll back to {name}: ")
    world.add(3)
    world.expect(1, 2, 3)
