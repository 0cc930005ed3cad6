"""htable from Consul to Kamailio's memory, through all the real programs, and what Kamailio was asked on the way."""

import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consul_kam.app.templates import exported
from consul_kam.config import load
from tests.integration.test_templates_hostile import TEXTS
from tests.lab import ConsulAgent, Kamailio, Lab, Sampler, wait_for
from tests.lab.htable import Held, held, options
from tests.lab.process import freeze
from tests.lab.relay import Relay

CARRIERS, LIMITS = "htable:carriers", "htable:limits"
SETS = {
    CARRIERS: """
        sets = [
          { kv = "t/carriers", static = ["fallback=sip:192.0.2.9"] },
          { service = "gateway", value = "uri" },
          { service = "gateway", key = "address", value = "meta.carrier" },
        ]
        """,
    LIMITS: """
        sets = [
          { kv = "t/limits", type = "int" },
          { service = "gateway", value = "weight", type = "int", critical = "in" },
        ]
        """,
}
RUNTIME = {"counter": 7, "by hand": "x"}


class World:
    """Two tables that are datasets and one that is none, an engine that reaches Kamailio through a relay."""

    def __init__(
        self, directory: Path, lab: Lab, consul: ConsulAgent, kam: Kamailio, relay: Relay, **more: Any
    ) -> None:
        self.consul, self.kam, self.relay = consul, kam, relay
        tables = {name: f"max_shrink = 1\nmin_records = 0\n{sets}" for name, sets in SETS.items()}
        self.engine = lab.engine(kam, consul, start=False, kamailio_lines="", **tables, **more)
        text = self.engine.config.read_text()
        self.engine.config.write_text(text.replace(f"unix:{kam.ctl}", f"unix:{relay.path}"))
        self.engine.start()
        places = exported({name: load(str(self.engine.config)).datasets[name].sets for name in SETS})
        for file, template in places.items():
            (directory / file).write_text(template)
        staged = [(directory / file, self.engine.staging / file.removesuffix(".ctmpl"), None) for file in places]
        self.ct = lab.consul_template(consul, staged)

    def held(self, table: str = "carriers") -> Held:
        return held(self.kam.rpc, table)

    def expect(self, table: str = "carriers", timeout: float = 20.0, **wanted: str | int) -> None:
        """Until the table holds exactly these, proven and published."""
        wait_for(f"{table} to hold {wanted}", lambda: self.held(table) == wanted, timeout, self.engine.log, every=0.02)
        self.rest(f"htable:{table}")

    def rest(self, dataset: str = CARRIERS) -> None:
        self.engine.wait("rest", _rests, 20, dataset)

    def asked(self, since: int = 0) -> list[list[object]]:
        """What Kamailio was asked to change, in order."""
        changes = ("htable.reload", "htable.sets", "htable.seti", "htable.delete")
        return [call for call in self.relay.calls[since:] if call[0] in changes]

    def verdicts(self, dataset: str = CARRIERS) -> list[str]:
        return self.engine.verdicts(dataset)


def _rests(status: Mapping[str, Any]) -> bool:
    return status["phase"] == "IDLE" and status["memory"]["state"] == status["live"]["state"] == "equal"


@pytest.fixture
def kamailio(tmp_path: Path) -> Iterator[Kamailio]:
    directory = tmp_path / "kam"
    with Kamailio(directory, **options(directory, "carriers", "limits", others=("runtime",))) as kam:
        yield kam


@pytest.fixture
def relay(kamailio: Kamailio) -> Iterator[Relay]:
    with Relay(kamailio.ctl, kamailio.run / "relay") as opened:
        yield opened


@pytest.fixture
def world(tmp_path: Path, lab: Lab, consul: ConsulAgent, kamailio: Kamailio, relay: Relay) -> World:
    """At rest, with two keys from KV and one gateway; somebody keeps a table of his own."""
    for key, value in RUNTIME.items():
        kamailio.rpc.call("htable.seti" if isinstance(value, int) else "htable.sets", "runtime", key, value)
    consul.kv_put("t/carriers/acme", "sip:gw.acme.example")
    consul.kv_put("t/carriers/deep/er", " 20 \n")
    consul.kv_put("t/limits/acme", "20")
    consul.register("gateway", "g1", "10.0.0.1", 5060, meta={"carrier": "acme"}, weights=3)
    found = World(tmp_path, lab, consul, kamailio, relay)
    found.expect(**BEFORE)
    found.expect("limits", acme=20, g1=3)
    return found


BEFORE: dict[str, str | int] = {
    "acme": "sip:gw.acme.example",
    "deep/er": "20",
    "fallback": "sip:192.0.2.9",
    "g1": "sip:10.0.0.1:5060",
    "10.0.0.1:5060": "acme",
}


def test_boot_is_one_reload_of_each_table_and_every_change_goes_key_by_key(world: World) -> None:
    kam, consul, relay = world.kam, world.consul, world.relay
    assert sorted(world.asked()) == [["htable.reload", "carriers"], ["htable.reload", "limits"]]
    booted = len(relay.calls)
    with (
        Sampler(kam.ctl, lambda rpc: held(rpc, "carriers"), 0.001) as carriers,
        Sampler(kam.ctl, lambda rpc: held(rpc, "runtime"), 0.005) as runtime,
    ):
        for number in range(20):
            consul.kv_put("t/carriers/changing", f"v{number}")
            wait_for("the change", lambda n=number: world.held().get("changing") == f"v{n}", 10, world.engine.log)  # type: ignore[misc]
        for number in range(20):
            consul.kv_put("t/carriers/changing", f"w{number}")
        consul.register("gateway", "g2", "10.0.0.2", 5060, weights=9)
        world.expect(**BEFORE, changing="w19", g2="sip:10.0.0.2:5060")
        world.expect("limits", acme=20, g1=3, g2=9)
        consul.kv_delete("t/carriers/changing")
        consul.deregister("g2")
        world.expect(**BEFORE)
        world.expect("limits", acme=20, g1=3)
        assert carriers.never(lambda table: not table.items() >= BEFORE.items())
        assert carriers.samples > 100
        assert runtime.never(lambda table: table != RUNTIME)
    asked = world.asked(booted)
    assert {(call[0], call[1], call[2]) for call in asked} == {
        ("htable.sets", "carriers", "changing"),
        ("htable.delete", "carriers", "changing"),
        ("htable.sets", "carriers", "g2"),
        ("htable.delete", "carriers", "g2"),
        ("htable.seti", "limits", "g2"),
        ("htable.delete", "limits", "g2"),
    }
    published = [entry["ms"] for entry in world.engine.journal() if entry.get("verdict") == "PUBLISHED"]
    assert [("reload" in ms, "keys" in ms) for ms in published][:2] == [(True, False)] * 2
    assert all("keys" in ms and "reload" not in ms for ms in published[2:])


def test_status_and_render_ask_consul_for_each_table(world: World) -> None:
    def said() -> dict[str, str]:
        found: list[dict[str, Any]] = world.engine.ask("status", 10, consul=True)["datasets"]
        return {each["name"]: each["consul"]["state"] for each in found if each["name"] in SETS}

    wait_for("both to be as Consul says", lambda: said() == dict.fromkeys(SETS, "equal"), 20, every=0.5)
    world.ct.stop()
    world.consul.kv_put("t/carriers/late", "x")
    wait_for("what is not staged", lambda: said() == {CARRIERS: "differs", LIMITS: "equal"}, 20, every=0.5)
    command = [sys.executable, "-m", "consul_kam", "render", "--dataset", CARRIERS, "--json"]
    env = {**os.environ, **world.engine.env}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert (file["dataset"], file["good"], len(file["records"])) == (CARRIERS, True, len(BEFORE) + 1)


def test_a_type_that_changes_and_a_status_as_value(world: World) -> None:
    world.consul.kv_put("t/limits/acme", "-2147483648")
    world.consul.set_status("g1", "critical")
    world.expect("limits", acme=-(2**31), g1=3)
    world.expect(**{key: value for key, value in BEFORE.items() if key not in ("g1", "10.0.0.1:5060")})
    world.consul.maintenance("g1")
    world.expect(**BEFORE)
    assert world.relay.made("htable.reload") == 2


def test_drift_is_one_reload_and_leaves_other_tables_alone(
    tmp_path: Path, lab: Lab, consul: ConsulAgent, kamailio: Kamailio, relay: Relay
) -> None:
    kamailio.rpc.call("htable.sets", "runtime", "mine", "x")
    consul.kv_put("t/carriers/a", "1")
    world = World(tmp_path, lab, consul, kamailio, relay, verify_every=1.0)
    world.expect(a="1", fallback="sip:192.0.2.9")
    booted = len(relay.calls)
    freeze(world.engine.pid)  # no look comes between the two
    kamailio.rpc.call("htable.sets", "carriers", "stranger", "x")
    kamailio.rpc.call("htable.delete", "carriers", "a")
    os.kill(world.engine.pid, signal.SIGCONT)
    world.expect(a="1", fallback="sip:192.0.2.9")
    assert world.asked(booted) == [["htable.reload", "carriers"]]
    assert world.verdicts().count("DRIFT") == 1
    assert world.held("runtime") == {"mine": "x"}
    consul.kv_put("t/carriers/a", "2")
    world.expect(a="2", fallback="sip:192.0.2.9")
    assert world.asked(booted)[1:] == [["htable.sets", "carriers", "a", "2"]]


def many(world: World, count: int) -> dict[str, str | int]:
    """So many keys more, as one change; what the table shall hold then."""
    world.ct.stop()
    keys = {f"many/{number:03d}": f"value {number}" for number in range(count)}
    for key, value in keys.items():
        world.consul.kv_put(f"t/carriers/{key}", value)
    world.ct.start()
    return {**BEFORE, **keys}


def test_kill_9_of_the_engine_among_the_keys(world: World) -> None:
    world.relay.stop_after("htable.sets", 70)
    with Sampler(world.kam.ctl, lambda rpc: held(rpc, "carriers"), 0.001) as carriers:
        wanted = many(world, 100)
        assert world.relay.stopped.wait(20)
        world.engine.kill9()
        wait_for("what it was sent", lambda: len(world.held()) == len(BEFORE) + 70, 10)
        world.relay.go_on(drop=True)
        before = len(world.relay.calls)
        world.engine.start()
        world.expect(**wanted)
        assert carriers.never(lambda table: not table.items() >= BEFORE.items())
    assert ["htable.reload", "carriers"] in world.asked(before)
    assert {call[1] for call in world.asked(before)} == {"carriers"}
    assert world.held("runtime") == RUNTIME


def test_kamailio_restarted_among_the_keys_has_the_new_list_at_once(world: World) -> None:
    world.relay.stop_after("htable.sets", 30)
    wanted = many(world, 50)
    assert world.relay.stopped.wait(20)
    world.kam.kill9()
    world.kam.start()
    assert world.held() == wanted
    world.relay.go_on()
    world.expect(**wanted)
    world.expect("limits", acme=20, g1=3)
    world.consul.kv_put("t/carriers/acme", "moved")
    world.expect(**{**wanted, "acme": "moved"})


def test_kamailio_restarted_in_quiet_needs_no_write(world: World) -> None:
    before = len(world.asked())
    world.kam.restart()
    assert world.held() == BEFORE
    world.consul.kv_put("t/carriers/acme", "moved")
    world.expect(**{**BEFORE, "acme": "moved"})
    assert world.asked()[before:] == [["htable.sets", "carriers", "acme", "moved"]]


def test_an_engine_restarted_in_quiet_needs_no_write_and_rolls_back_key_by_key(world: World) -> None:
    before = len(world.asked())
    assert world.engine.stop() == 0
    world.consul.kv_put("t/carriers/acme", "moved")
    world.engine.start()
    world.expect(**{**BEFORE, "acme": "moved"})
    assert world.asked()[before:] == [["htable.sets", "carriers", "acme", "moved"]]
    assert world.engine.ask("rollback", dataset=CARRIERS)["ok"]
    world.expect(**BEFORE)
    assert world.relay.made("htable.reload") == 2


def test_what_is_hostile_alters_no_other_key(world: World) -> None:
    """Keys and values from KV, names and meta of instances: each is its own record, or none."""
    booted = len(world.relay.calls)
    with Sampler(world.kam.ctl, lambda rpc: held(rpc, "carriers"), 0.002) as carriers:
        for number, text in enumerate(TEXTS.values()):
            for key, value in ((f"k{number}", text), (f"{text[:300]}k{number}", "x")):
                pair = {"Verb": "set", "Key": f"t/carriers/{key}", "Value": base64.b64encode(value.encode()).decode()}
                world.consul.ask("PUT", "/v1/txn", [{"KV": pair}])
            id = "".join(sign for sign in text[:200] if sign.isprintable())  # others cannot be deregistered
            service = {"Name": "gateway", "ID": f"e{id}{number}", "Address": text, "Port": -number}
            world.consul.register_raw({**service, "Meta": {"carrier": text[:500]}})
        world.consul.kv_put("t/carriers/last", "x")
        wait_for("the last", lambda: world.held().get("last") == "x", 20, world.engine.log)
        assert carriers.never(lambda table: not table.items() >= BEFORE.items())
    world.rest()
    table = world.held()
    bad = [*table, *table.values()]
    assert not [text for text in bad if any(ord(sign) < 32 for sign in str(text)) or len(str(text)) > 1024]
    quotes = [*TEXTS].index("quotes")
    assert table[f"k{quotes}"] == TEXTS["quotes"]
    assert ["htable.reload", "carriers"] not in world.asked(booted)
    assert world.held("limits").items() >= {"acme": 20, "g1": 3}.items()
    assert world.held("runtime") == RUNTIME


def test_a_table_that_kamailio_does_not_have_is_named(
    tmp_path: Path, lab: Lab, consul: ConsulAgent, kamailio: Kamailio
) -> None:
    engine = lab.engine(kamailio, consul, **{"htable:nobody": 'sets = [{ static = ["a=x"] }]'})
    (engine.staging / "htable-nobody").write_text('{"key":"a","value":"x"}\n{"end":"htable:nobody","records":1}\n')
    engine.wait("DEGRADED", lambda status: status["phase"] == "DEGRADED", dataset="htable:nobody")
    assert "No such htable" in engine.status("htable:nobody")["reason"]
