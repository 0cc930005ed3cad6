"""`consul-kam explain` against real programs: one trial for each stage that a record can be stopped at."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consul_kam.app.templates import exported
from consul_kam.config import load
from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.engine import Engine
from tests.lab.htable import options as htable
from tests.lab.permissions import options as permissions
from tests.lab.world import BASE, World, uri


def told(engine: Engine, what: str) -> tuple[int, list[dict[str, Any]]]:
    """(exit code, matches)."""
    done = run(engine, what, "--json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["matches"]


def run(engine: Engine, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "consul_kam", "explain", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**os.environ, **engine.env})


def one(engine: Engine, what: str) -> tuple[int, dict[str, Any]]:
    code, found = told(engine, what)
    assert len(found) == 1, found
    return code, found[0]


def stages(match: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    return {stage["name"]: (stage["mark"], stage["text"]) for stage in match["stages"]}


def test_from_consul_to_memory(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    for what in ("r01", "router/r01", uri(1), f"1 {uri(1)}", f"127.0.0.1:{BASE + 1}"):
        code, found = one(world.engine, what)
        assert (code, found["callable"], found["why"]) == (0, True, ""), found
        assert {mark for mark, _ in stages(found).values()} == {"ok"}
        assert list(stages(found)) == ["registered", "health", "set", "staged", "checked", "live file", "memory"]
    code, both = told(world.engine, "127.0.0.1")
    assert (code, sorted(each["source"] for each in both)) == (0, ["router/r01", "router/r02"])
    code, node = told(world.engine, "lab")
    assert len(node) == 2
    assert told(world.engine, "nobody") == (1, [])
    shown = run(world.engine, "r01")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"dispatcher: 1 {uri(1)} (router/r01): in memory, gets calls" in shown.stdout
    assert "neither registered in Consul" in run(world.engine, "nobody").stdout


def test_health_policy_maintenance_and_tags(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher="min_callable = 0")
    world.ct.stop()
    world.add(1, 2, 3)
    code, found = one(world.engine, "r01")
    assert code == 1
    # whether consul-template had staged an empty list before it ended
    assert found["why"].startswith(("staged: nothing is staged", "staged: not rendered yet: consul-template")), found
    world.ct.start()
    world.expect(1, 2, 3)
    consul.ask("PUT", "/v1/agent/check/fail/service:r02?note=no+answer")
    world.drain(3)
    world.expect_flags(r3="DX")
    world.expect(1, 3)
    code, found = one(world.engine, "r02")
    assert (code, found["callable"]) == (1, False)
    assert "critical, output: no answer" in stages(found)["health"][1]
    assert found["why"] == "set: policy: critical = out"
    code, found = one(world.engine, "r03")
    assert (code, found["why"]) == (1, "draining: kept, disabled: it drains until it deregisters")
    assert "by hand or another program, reason: lab" in stages(found)["health"][1]
    assert "disabled by us" in stages(found)["memory"][1]


def test_a_tag_and_a_service_that_nobody_asks_for(lab: Lab, consul: ConsulAgent) -> None:
    env = {"CONSUL_KAM_DISPATCHER_SETS": '[{"setid":1,"service":"router","tag":"a"}]'}
    lines = "[[datasets.dispatcher.sets]]\nservice = 'router'\ntag = 'a'"
    world = World(lab, consul, dispatcher=lines, env=env)
    world.add(1, tags=["a"])
    world.add(2, tags=["b"])
    consul.register("a/b c?d#e", "odd", port=BASE + 8)
    consul.register("sbc", "sbc-1", port=BASE + 9)
    world.expect(1)
    world.rest()
    code, found = one(world.engine, "r02")
    assert (code, found["why"]) == (1, "set: tag filter: the set wants a, it has b")
    code, found = one(world.engine, "sbc-1")
    assert (code, found["why"]) == (1, "set: no set of dispatcher asks for service sbc, only for: router")


def test_dropped_twins_and_gone(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher="hold_for = 0.3")
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    consul.register("router", "evil", address="10.0.0.1\n1 sip:6.6.6.6", port=5060)
    consul.register("router", "twin", port=BASE + 1)
    world.remove(3)
    world.expect(1, 2)
    consul.register("router", "x" * 100_000, address="bad host", port=5060)
    world.engine.wait("all dropped", lambda status: len(status["dropped"]) == 3)
    code, found = one(world.engine, "x" * 300)
    assert code == 1
    assert "dropped" in found["why"]
    code, found = one(world.engine, "evil")
    assert code == 1
    assert found["why"].startswith("checked: dropped: cannot use ")
    code, found = one(world.engine, "twin")
    assert code == 1
    assert "stands already" in found["why"]
    code, both = told(world.engine, uri(1))
    assert (code, len(both)) == (0, 2)
    code, none = told(world.engine, "r03")
    assert (code, none) == (1, [])


def test_held_pinned_and_paused(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher="hold_for = 600")
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    world.at_once(lambda: world.remove(1, 2))
    world.said("HELD", held=[1, 2])
    code, found = one(world.engine, uri(1))
    assert (code, found["callable"]) == (0, True)
    assert "held in the list" in stages(found)["guards"][1]
    assert stages(found)["registered"][0] == "no"
    world.engine.ask("pause")
    world.add(3)
    world.engine.wait("observed", lambda status: status["verdict"] == "OBSERVED")
    code, found = one(world.engine, "r03")
    assert (code, found["why"]) == (1, "operator: paused: nothing is written until `consul-kam resume`")
    world.engine.ask("resume")
    world.expect(1, 2, 3)


def test_refused_by_kamailio_and_dead_and_disabled_by_hand(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    consul.register("router", "other", port=BASE + 7, meta={"socket": "udp:192.0.2.9:5060"})
    world.add(1, 2)
    world.engine.wait("one is refused", lambda status: len(status["refused"]) == 1, 30)
    code, found = one(world.engine, "other")
    assert (code, found["callable"]) == (1, False)
    assert found["why"].startswith("refused: Kamailio does not load it, tried 1 times")
    world.set_state("ip", 1)
    world.set_state("dx", 2)
    code, found = one(world.engine, "r01")
    assert "found dead" in found["why"]
    code, found = one(world.engine, "r02")
    assert "disabled by hand" in found["why"]


def test_a_name_that_does_not_resolve(lab: Lab, consul: ConsulAgent) -> None:
    static = '[[datasets.dispatcher.sets]]\nservice = "router"\nstatic = ["sip:no-such.invalid 0 10"]'
    env = {"CONSUL_KAM_DISPATCHER_SETS": '[{"setid":1,"service":"router","static":["sip:no-such.invalid 0 10"]}]'}
    world = World(lab, consul, dispatcher=f"resolve_deadline = 1.0\n{static}", env=env)
    world.add(1)
    world.expect(1)
    world.engine.wait("it is left out", lambda status: bool(status["dropped"]), 30)
    code, found = one(world.engine, "no-such.invalid")
    assert code == 1
    assert stages(found)["registered"] == ("ok", "a static entry of the configuration; Consul has no part in it")
    assert "no-such.invalid does not resolve" in found["why"]


def test_withheld_by_order(lab: Lab, consul: ConsulAgent) -> None:
    more = 'order = ["domain", "dispatcher"]\norder_wait = 60\n'
    world = World(lab, consul, domain="", kamailio={"domain": True}, more=more)
    world.rest(dataset="domain")
    world.engine.ask("pause", dataset="domain")
    world.add(1)
    wait_for("it waits", lambda: bool(world.engine.status()["waits"]), 20, world.engine.log)
    code, found = told(world.engine, "r01")
    whys = {each["dataset"]: each["why"] for each in found}
    assert code == 1
    assert whys["dispatcher"] == "order: withheld by order: domain does not have it yet"
    assert whys["domain"].startswith("operator: paused")
    world.engine.ask("resume", dataset="domain")
    world.expect(1)


def test_consul_away_and_the_engine_too(lab: Lab) -> None:
    consul = lab.consul()
    world = World(lab, consul)
    world.add(1)
    world.expect(1)
    world.rest()
    assert world.engine.stop() == 0
    code, found = one(world.engine, "r01")
    assert (code, found["callable"]) == (0, True), found
    assert stages(found)["engine"][1].startswith("none is running")
    consul.stop()
    code, found = one(world.engine, "r01")
    assert (code, found["callable"]) == (0, True)
    assert stages(found)["registered"][0] == "unknown"
    world.kam.stop()
    code, found = one(world.engine, "r01")
    assert (code, stages(found)["memory"][0]) == (1, "unknown")
    assert found["why"] == ""


SETS = {
    "dispatcher": "sets = [{ service = 'router', kv = 'routes' }]",
    "domain": "sets = [{ service = 'router' }]",
    "rtpengine": "sets = [{ service = 'router', setid = 0 }]",
    "address": "sets = [{ service = 'router', group = 1 }]",
    "htable:peers": "sets = [{ service = 'router' }]",
}


def test_each_dataset(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> None:
    """Keys of each kind, by each way to say whom one means; the third router is written into Consul's KV."""
    extra = [htable(tmp_path, "peers")["modparams"], permissions(tmp_path)["modparams"]]
    live = f"/{tmp_path}/live"
    kam = lab.kamailio(domain=True, rtpengine=True, reload_delta=0, rtpengine_tout_ms=100, modparams="\n".join(extra))
    for word in ("dbtext/peers", "address.list"):
        place = kam.live / word
        place.write_bytes(Path(f"{live}/{word}").read_bytes())
    kam.options.modparams = kam.options.modparams.replace(f"{tmp_path}/live", str(kam.live))
    kam.write_cfg()
    kam.restart()
    engine = lab.engine(kam, consul, **SETS)
    consul.register("router", "r1", "127.0.0.1", 5070)
    consul.kv_put("routes/one", "sip:192.0.2.5:5060 0 1")
    names = {name: load(str(engine.config)).datasets[name].sets for name in SETS}
    staged = []
    for file, text in exported(names).items():
        (tmp_path / file).write_text(text)
        staged.append((tmp_path / file, engine.staging / file.removesuffix(".ctmpl"), None))
    lab.consul_template(consul, staged)
    for name in SETS:
        records = 2 if name == "dispatcher" else 1
        engine.wait(f"{name} in", lambda status, n=records: status["memory"]["records"] == n, 40, name)
    keys = {
        "dispatcher": "1 sip:127.0.0.1:5070", "domain": "127.0.0.1", "rtpengine": "0 udp:127.0.0.1:5070",
        "address": "1 127.0.0.1 32 0", "htable:peers": "r1",
    }  # fmt: skip
    for what in ("r1", "127.0.0.1", "127.0.0.1:5070"):
        _, found = told(engine, what)
        got = {each["dataset"]: each["key"] for each in found}
        assert got == (keys if what == "r1" else {**keys, "htable:peers": got.get("htable:peers", "")}), what
    callable_now = {each["dataset"]: each["callable"] for each in told(engine, "r1")[1]}
    assert callable_now == {**dict.fromkeys(SETS, True), "rtpengine": False}, "nobody answers for that RTPEngine"
    for what in ("routes/one", "sip:192.0.2.5:5060"):
        code, kv = one(engine, what)
        assert (code, stages(kv)["registered"]) == (0, ("ok", "KV routes/one"))
