"""Each stage from Consul to memory, as data: what is known -> what is said, and whether it is the reason."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from consul_kam.core.explain import NO, NOTE, OK, STAGES, UNKNOWN, Stage, explain
from consul_kam.core.known import Asks, Check, Facts, Instance, Listed, Staged, Subject

FILE = "/s/dispatcher"
CHECK = Check("service:r1", "passing", name="Service 'router' check")
INSTANCE = Instance("router", "r1", "n1", "", "10.0.0.1", 5060, ("blue",), (CHECK,))
LISTED = Listed(name="dispatcher", staging=(Staged(FILE, "ok", "", 50.0),), live="/l", read_at=60.0)
SUBJECT = Subject(
    dataset="dispatcher", key="1 sip:10.0.0.1:5060", service="router", id="r1", node="n1", where=f"{FILE}:1", use="in",
    wanted=True, live=True, in_memory=True, state="AX", callable=True,
)  # fmt: skip
ASKS = (Asks(service="router", policy={"warning": "in", "critical": "out"}),)
FACTS = Facts(listed=LISTED, subject=SUBJECT, asks=ASKS, instance=INSTANCE)


def facts(subject: dict[str, Any] | None = None, listed: dict[str, Any] | None = None, **more: Any) -> Facts:
    return replace(FACTS, subject=replace(SUBJECT, **subject or {}), listed=replace(LISTED, **listed or {}), **more)


def stage(found: Facts, name: str) -> Stage | None:
    return next((each for each in explain(found).stages if each.name == name), None)


def ill(status: str, **more: str) -> Instance:
    return replace(INSTANCE, checks=(CHECK, Check("web", status, **more)))


def in_maintenance(id: str, notes: str) -> Instance:
    return replace(INSTANCE, checks=(CHECK, Check(id, "critical", notes=notes)))


STATIC = {"service": "", "id": "static", "node": ""}
KV = {"service": "", "id": "kv:sets/1/a", "node": ""}
GONE = {"where": "", "wanted": False, "live": False, "in_memory": False, "callable": False, "state": ""}
TAGGED = (Asks(service="router", tag="green"),)
DISABLES = (Asks(service="router", policy={"critical": "disable"}),)
DRAINS = {"use": "draining", "disabled": True, "ours": True, "state": "DX", "callable": False}

CASES: list[tuple[str, Facts, str, str, str]] = [
    ("registered", FACTS, "registered", OK, "service router, ID r1, on node n1 at 10.0.0.1:5060"),
    ("static", facts(STATIC, instance=None), "registered", OK, "a static entry"),
    ("in KV", facts(KV, instance=None, in_kv=True), "registered", OK, "KV sets/1/a"),
    ("not in KV", facts(KV, instance=None, in_kv=False), "registered", NO, "KV has no sets/1/a"),
    ("Consul is away", facts(instance=None, consul="cannot reach Consul"), "registered", UNKNOWN, "cannot reach"),
    ("deregistered", facts(instance=None), "registered", NO, "Consul has no router/r1 on n1 now"),
    ("by another's hand", facts({"service": "", "id": ""}, instance=None), "registered", NOTE, "Consul has nothing"),
    ("well", FACTS, "health", OK, "passing, 1 checks"),
    ("critical", facts(instance=ill("critical", output="con\n refused", name="Web")), "health", NOTE,
     "critical: check Web (web) is critical, output: con refused"),
    ("warning", facts(instance=ill("warning")), "health", NOTE, "check web (web) is warning, output: none"),
    ("our maintenance", facts(instance=in_maintenance("_service_maintenance:r1", "consul_kam drain: x")), "health",
     NOTE, "maintenance: the service is in maintenance by consul_kam, reason: consul_kam drain: x"),
    ("another's", facts(instance=in_maintenance("_node_maintenance", "disk")), "health", NOTE,
     "the node is in maintenance by hand or another program, reason: disk"),
    ("no set", facts(asks=()), "set", NO, "no set of dispatcher asks for service router, only for: none"),
    ("tag filter", facts(asks=TAGGED), "set", NO, "tag filter: the set wants green, it has blue"),
    ("tag is there", facts(asks=(Asks(service="router", tag="blue"),)), "set", OK, "asked for as service router"),
    ("critical is out", facts(instance=ill("critical")), "set", NO, "policy: critical = out"),
    ("warning is in", facts(instance=ill("warning")), "set", OK, "warning = in"),
    ("critical disables", facts(instance=ill("critical"), asks=DISABLES),
     "set", NOTE, "critical = disable"),
    ("one of two sets wants it",
     facts(instance=ill("critical"), asks=(*ASKS, Asks(service="router", policy={"critical": "in"}))), "set", OK, "in"),
    ("maintenance drains", facts(instance=in_maintenance("_node_maintenance", "x")), "set", NOTE, "drains"),
    ("no engine", facts(engine="none is running"), "engine", NOTE, "none is running"),
    ("staged", FACTS, "staged", OK, f"{FILE}:1"),
    ("not rendered", facts(GONE), "staged", NO, "not rendered yet"),
    ("gone from staging", facts(GONE, instance=None), "staged", NOTE, "not in staging"),
    ("nothing is staged", facts(GONE, {"staging": (Staged(FILE, "absent"),)}), "staged", NO,
     f"nothing is staged at {FILE}"),
    ("staging is rejected", facts(GONE, {"staging": (Staged(FILE, "rejected", "cannot use it: cut"),)}), "staged", NO,
     "rejected: cannot use it: cut"),
    ("rejected, and known from before", facts(None, {"staging": (Staged(FILE, "rejected", "cut"),)}), "staged", NOTE,
     "rejected: cut"),
    ("unprotected", facts(None, {"staging": (Staged(FILE, "unprotected"),)}), "staged", NOTE, "unprotected"),
    ("dropped", facts({**GONE, "dropped": ("cannot use x:1:5: port is 0 (router/r1)",)}), "checked", NO,
     "dropped: cannot use x:1:5: port is 0 (router/r1)"),
    ("a twin lost", facts({"stands_for": "router/r2 on n2"}), "checked", NO, "in use: router/r2 on n2"),
    ("good", FACTS, "checked", OK, "a good record, in"),
    ("held", facts({"held_why": "only 0 left", "held_until": 99.0}, instance=None), "guards", NOTE,
     "held in the list although Consul wants it out: only 0 left"),
    ("held for good", facts({"held_why": "only 0 left"}, instance=None), "guards", NOTE, "until others live"),
    ("the last one", facts({"named": "it is among the last 1"}), "guards", NOTE, "it is among the last 1"),
    ("refused", facts({**GONE, "where": f"{FILE}:1", "refused_times": 2, "refused_retry": 9.0}), "refused", NO,
     "Kamailio does not load it, tried 2 times"),
    ("a name blocks", facts({"blocked": "a is away", "blocked_since": 3.0}), "names", NOTE, "blocked: a is away"),
    ("a name keeps it out", facts({**GONE, "blocked": "a is away"}), "names", NO, "blocked: a is away"),
    ("withheld", facts({**GONE, "waits_why": "address does not have it yet", "waits_until": 9.0}), "order", NO,
     "withheld by order: address does not have it yet"),
    ("kept by order", facts({"waits_why": "dispatcher may still use it"}), "order", NOTE, "may still use it"),
    ("pinned", facts(None, {"pinned": "000042-abc"}), "operator", NOTE, "pinned to release 000042-abc"),
    ("paused keeps it out", facts({"in_memory": False, "callable": False}, {"paused": True}), "operator", NO, "paused"),
    ("observed", facts({"in_memory": False, "callable": False}, {"observe": True}), "operator", NO, 'mode = "observe"'),
    ("draining", facts(DRAINS), "draining", NO, "drains until it deregisters"),
    ("disabled by policy", facts({**DRAINS, "use": "disabled"}), "draining", NO, "disabled by the set's policy"),
    ("live", FACTS, "live file", OK, "/l"),
    ("not live", facts({"live": False}, {"phase": "DEGRADED", "reason": "disk full"}), "live file", NO,
     "not in /l: DEGRADED,  disk full"),
    ("unreadable", facts({"live": None}), "live file", UNKNOWN, "/l cannot be read"),
    ("memory is not known", facts(None, {"memory_known": False}), "memory", UNKNOWN, "has not been read"),
    ("not in memory", facts({"in_memory": False, "callable": False}, {"phase": "WAITING", "verdict": "BUSY",
     "reason": "Ongoing reload"}), "memory", NO, "not in Kamailio's memory: WAITING, BUSY Ongoing reload"),
    ("in memory", FACTS, "memory", OK, "in memory, state AX: it gets calls"),
    ("dead", facts({"state": "IP", "callable": False}), "memory", NO, "state IP: found dead"),
    ("disabled by hand", facts({"state": "DX", "callable": False}), "memory", NO, "disabled by hand"),
    ("disabled by us", facts({"state": "DX", "callable": False, "ours": True}), "memory", NO, "disabled by us"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "name", "mark", "text"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_a_stage(found: Facts, name: str, mark: str, text: str) -> None:
    said = stage(found, name)
    assert said is not None
    assert said.mark == mark
    assert text in said.text


def test_every_stage_has_a_case() -> None:
    assert {case[2] for case in CASES} == {
        "registered", "health", "set", "engine", "staged", "checked", "guards", "refused", "names", "order", "operator",
        "draining", "live file", "memory",
    }  # fmt: skip
    assert len(STAGES) == 13  # names and refused are one


@pytest.mark.parametrize("name", ["engine", "guards", "refused", "names", "order", "operator", "draining"])
def test_what_is_as_usual_is_not_told(name: str) -> None:
    assert stage(FACTS, name) is None


def test_all_well() -> None:
    found = explain(FACTS)
    assert (found.callable, found.why, found.source) == (True, "", "router/r1")
    assert {each.mark for each in found.stages} == {OK}


def test_the_first_stage_that_stops_it_is_the_reason() -> None:
    found = explain(facts(GONE, instance=ill("critical")))
    assert (found.callable, found.why) == (False, "set: policy: critical = out")


def test_a_held_record_is_called_although_consul_has_it_no_longer() -> None:
    found = explain(facts({"held_why": "x", "held_until": 99.0}, instance=None))
    assert (found.callable, found.why) == (True, "")
    said = stage(facts({"held_why": "x", "held_until": 99.0}, instance=None), "guards")
    assert said is not None
    assert said.times == (("until", 99.0),)


def test_a_loser_of_twins_is_not_called_although_its_key_is() -> None:
    assert explain(facts({"stands_for": "router/r2"})).callable is False


def test_when_it_left_is_told() -> None:
    said = stage(facts({"last_word": "removed", "last_at": 7.0}, instance=None), "registered")
    assert said is not None
    assert said.times == (("last removed", 7.0),)


def test_facts_pass_as_json() -> None:
    subject = replace(SUBJECT, dropped=("a", "b"), held_until=3.5)
    assert Subject.load(json.loads(json.dumps(asdict(subject)))) == subject
    assert Listed.load(json.loads(json.dumps(asdict(LISTED)))) == LISTED


REJECTED = {"staging": (Staged(FILE, "rejected", "cut", 5.0),)}
TIMES: list[tuple[Facts, str, tuple[tuple[str, float], ...]]] = [
    (facts(GONE, REJECTED), "staged", (("since", 5.0),)),
    (FACTS, "staged", (("taken in", 50.0),)),
    (facts(GONE), "staged", (("staging is of", 50.0),)),
    (facts({"blocked": "a", "blocked_since": 3.0}), "names", (("since", 3.0),)),
    (facts({"refused_times": 1, "refused_retry": 9.0}), "refused", (("tried again", 9.0),)),
    (facts({"waits_why": "x", "waits_until": 8.0}), "order", (("until", 8.0),)),
    (FACTS, "memory", (("read", 60.0),)),
    (facts(GONE), "memory", (("read", 60.0),)),
]


@pytest.mark.parametrize(("found", "name", "times"), TIMES)
def test_when(found: Facts, name: str, times: tuple[tuple[str, float], ...]) -> None:
    said = stage(found, name)
    assert said is not None
    assert said.times == times


@pytest.mark.parametrize("name", ["staged", "names", "refused", "order", "guards", "memory"])
def test_a_time_that_is_not_known_is_left_out(name: str) -> None:
    listed = {"staging": (Staged(FILE, "ok"),), "read_at": None}
    subject = {"blocked": "a"} if name == "names" else {"refused_times": 1, "waits_why": "x", "held_why": "y"}
    said = stage(facts(subject, listed), name)
    assert said is not None
    assert said.times == ()


def test_maintenance_comes_before_other_checks() -> None:
    sick = Check("web", "critical")
    instance = replace(INSTANCE, checks=(sick, Check("_node_maintenance", "critical", notes="disk")))
    said = stage(facts(instance=instance), "health")
    assert said is not None
    assert said.text.startswith("maintenance: the node is in maintenance")
    assert "check web" in said.text


def test_one_set_that_wants_it_is_enough() -> None:
    asks = (*DISABLES, Asks(service="router", policy={"critical": "in"}))
    said = stage(facts(instance=ill("critical"), asks=asks), "set")
    assert said is not None
    assert (said.mark, said.text) == (OK, "asked for as service router, critical = in")


def test_what_gave_it_is_not_known_any_more() -> None:
    said = stage(facts({"service": "", "id": ""}, instance=None), "registered")
    assert said is not None
    assert said.text == "Consul has nothing of it in router; which source gave it is not known any more"
    said = stage(facts({"service": "", "id": ""}, instance=None, asks=()), "registered")
    assert said is not None
    assert "in any service" in said.text
