"""What a node shows besides its lists: probes, programs, registration, and who decides whether it is ready."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from consul_kam import config
from consul_kam.adapters.journal import Journal
from consul_kam.app.engine import Engine
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.ordering import Ordering
from consul_kam.app.reports import Reporter
from consul_kam.app.vitals import Look, Parts
from consul_kam.core.vitals import DrainVitals, ProbeVitals, ProcessVitals, Registered, Spread

NO_LAG = Spread((), (0,))


@dataclass
class Probed:
    healthy: bool | None = True
    since: float = 1_700_000_000.0
    reason: str = ""
    took_ms: float = 2.0
    facts: Mapping[str, float] = field(default_factory=dict)


@dataclass
class FakeHealth:
    """In the shape of the health runner."""

    states: Mapping[str, Probed] = field(default_factory=dict)
    ready: bool = True
    reasons: Mapping[str, str] = field(default_factory=dict)
    lives: bool = True

    def alive(self) -> bool:
        return self.lives


def look(tmp_path: Path, parts: Parts | None = None, toml: str = "") -> Look:
    """At a node without lists."""
    settings = config.parse(toml, "test.toml", {"CONSUL_KAM_STATE_DIR": str(tmp_path)})
    engine = Engine([], Reporter(Journal(tmp_path / "journal.jsonl")), 30.0)
    return Look(engine, settings, Heartbeat(engine), Ordering(engine, {}, (), 1.0), parts or Parts())


def test_without_probes_kamailio_decides(tmp_path: Path) -> None:
    node = look(tmp_path)
    assert node.take(NO_LAG).reasons == {"kamailio": "nobody has looked yet"}
    node.heartbeat.up, node.heartbeat.trouble = False, "cannot reach it"
    assert node.take(NO_LAG).reasons == {"kamailio": "cannot reach it"}
    node.heartbeat.up = True
    vitals = node.take(NO_LAG)
    assert (vitals.ready, vitals.alive, vitals.kamailio) == (True, True, True)


def test_a_node_without_kamailio_does_not_wait_for_it(tmp_path: Path) -> None:
    vitals = look(tmp_path, toml='[node]\nrole = "rtp"\nname = "r1"\n').take(NO_LAG)
    assert (vitals.ready, vitals.kamailio) == (True, None)
    assert (vitals.role, vitals.node) == ("rtp", "r1")


def test_a_node_that_boots_is_not_ready(tmp_path: Path) -> None:
    node = look(tmp_path, Parts(waits_for=lambda: "Consul"))
    node.heartbeat.up = True
    assert node.take(NO_LAG).reasons == {"node": "Consul"}


def test_with_probes_they_decide(tmp_path: Path) -> None:
    health = FakeHealth(ready=False, reasons={"rpc": "no answer"}, lives=False)
    vitals = look(tmp_path, Parts(health=health)).take(NO_LAG)
    assert (vitals.ready, vitals.reasons, vitals.alive) == (False, {"rpc": "no answer"}, False)
    health.ready, health.reasons, health.lives = True, {}, True
    assert look(tmp_path, Parts(health=health)).take(NO_LAG).ready


def test_not_ready_without_a_reason_is_still_not_ready(tmp_path: Path) -> None:
    assert look(tmp_path, Parts(health=FakeHealth(ready=False))).take(NO_LAG).reasons == {"health": "not ready"}


def test_what_probes_found_is_shown_in_seconds(tmp_path: Path) -> None:
    health = FakeHealth({"rpc": Probed(facts={"rss_bytes": 1.0}), "sip": Probed(None, reason="not yet")})
    assert look(tmp_path, Parts(health=health)).take(NO_LAG).probes == (
        ProbeVitals("rpc", True, 0.002, 1_700_000_000.0, {"rss_bytes": 1.0}),
        ProbeVitals("sip", None, 0.002, 1_700_000_000.0, {}, "not yet"),
    )


def test_programs_are_shown_beside_the_engine_itself(tmp_path: Path) -> None:
    told: list[dict[str, Any]] = [
        {"name": "kamailio", "state": "RUNNING", "pid": 7, "restarts": 2},
        {"name": "consul-template", "state": "BACKOFF", "pid": None, "restarts": 9},
    ]
    facts = {"kamailio_up": 1.0, "consul_template_rss_bytes": 5.0, "consul_template_cpu_seconds": 1.5}
    health = FakeHealth({"process": Probed(facts=facts)})
    own, *others = look(tmp_path, Parts(health, lambda: told)).take(NO_LAG).processes
    assert (own.name, own.up) == ("consul-kam", True)
    assert own.rss is not None
    assert others == [ProcessVitals("kamailio", True, 2), ProcessVitals("consul-template", False, 9, 5.0, 1.5)]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"state": "registered", "trouble": ""}, Registered(True, False)),
        ({"state": "registered", "trouble": "another node has this ID"}, Registered(True, True)),
        ({"state": "off", "trouble": ""}, None),
        ({"state": "waiting", "trouble": "Consul is away"}, Registered(False, True)),
    ],
)
def test_registration_is_shown(tmp_path: Path, told: Mapping[str, Any], expected: Registered | None) -> None:
    assert look(tmp_path, Parts(registration=lambda: told)).take(NO_LAG).registration == expected
    assert look(tmp_path).take(NO_LAG).registration is None


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"phase": "NONE"}, DrainVitals("NONE")),
        ({"phase": "REFUSING", "calls": 7, "blind": ""}, DrainVitals("REFUSING", 7)),
        ({"phase": "DRAINED", "calls": 0, "blind": ""}, DrainVitals("DRAINED", 0)),
        ({"phase": "REFUSING", "calls": 7, "blind": "it has forgotten calls"}, DrainVitals("REFUSING")),
    ],
)
def test_a_drain_is_shown(tmp_path: Path, told: Mapping[str, Any], expected: DrainVitals) -> None:
    assert look(tmp_path, Parts(drain=lambda: told)).take(NO_LAG).drain == expected
    assert look(tmp_path).take(NO_LAG).drain is None
