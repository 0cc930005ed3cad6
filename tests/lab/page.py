"""A status page on which all there is to be shown is shown, and one of a node whose neighbours mean no good."""

from typing import Any

from consul_kam.app.page_html import Shown
from consul_kam.core.vitals import ListVitals, ProbeVitals, ProcessVitals, Registered, Vitals

CUT = "cannot use domain: its last line is missing; was it cut?"
NOW = 1_772_000_000.0
EVIL = (
    '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", "</svg><iframe src=//x>",
    "&lt;b&gt;", "\x1b[2J", "\u202egnp.exe", "<!--", "]]>", "javascript:alert(1)", "x" * 70_000, "\ud800",
)  # fmt: skip


def a_list(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "phase": "IDLE", "verdict": "PUBLISHED", "reason": "", "at": NOW - 300, "digest": "1f0c9a2b3c4d",
        "records": 12, "consul": {"state": "equal", "at": NOW - 20, "reason": "", "missing": [], "extra": []},
        "staging": [{"path": "/s", "digest": "d", "state": "ok", "error": "", "at": NOW}],
        "live": {"path": "/l", "state": "equal"}, "memory": {"state": "equal", "difference": "", "records": 12},
        "held": [], "waits": [], "out_of_order": [], "dropped": [], "refused": [], "draining": [], "named": [],
        "blocked": [], "paused": False, "observe": False, "pinned": None, "next": "", **more,
    }  # fmt: skip


def probe(name: str, healthy: bool | None, reason: str = "") -> dict[str, Any]:
    told = {"level": "ready", "action": "not-ready", "since": NOW - 5000, "reason": reason, "took_ms": 1.5}
    return {"name": name, "healthy": healthy, **told}


def change(ago: float, dataset: str, verdict: str, **more: Any) -> dict[str, Any]:
    return {"at": NOW - ago, "dataset": dataset, "verdict": verdict, "reason": "", **more}


def program(name: str, **more: Any) -> dict[str, Any]:
    told = {"state": "RUNNING", "pid": 7, "since": NOW - 9000, "restarts": 0, "adopted": False, "reason": ""}
    return {"name": name, **told, **more}


def drain(phase: str, **more: Any) -> dict[str, Any]:
    told = {"reason": "new kernel", "since": NOW - 61, "deadline": NOW + 200, "calls": 7, "blind": "", "how": ""}
    return {"phase": phase, "trouble": "", **told, **more}


def vitals(**more: Any) -> Vitals:
    processes = (
        ProcessVitals("engine", True, 0, 40e6, 12.0),
        ProcessVitals("consul-template", True, 0, 30e6, 3.0),
        ProcessVitals("kamailio", True, 1, 210e6, 99.0),
    )
    told: dict[str, Any] = {
        "version": "1.0", "python": "3.11", "node": "sbc-1.example", "role": "sbc", "started": NOW - 90_000,
        "alive": True, "reasons": {"lists": "memory differs: 1 missing"}, "kamailio": True,
        "lists": (ListVitals("dispatcher", "IDLE"),), "processes": processes,
        "probes": (ProbeVitals("rpc", True),), "registration": Registered(True, False),
    }  # fmt: skip
    return Vitals(**{**told, **more})


def full() -> Shown:
    why = "set 1 fell from 12 to 4 within 10 min"
    held = [{"key": f"1 sip:10.0.0.{n}:5060", "why": why, "until": NOW + 42} for n in range(1, 5)]
    dropped = ["cannot use dispatcher:3:0: port is 99999, allowed: 1 to 65535 (router/r9 on n3)"]
    lists = [
        a_list("dispatcher", verdict="HELD", held=held, dropped=dropped, draining=["1 sip:10.0.0.9:5060"],
               next="consul-kam approve   (lets the held records go)"),
        a_list("address"),
        a_list("domain", verdict="REJECTED", reason=CUT, pinned="000041-aa",
               consul={"state": "differs", "at": NOW - 20, "reason": "", "missing": ["example.com"], "extra": []},
               staging=[{"path": "/s", "digest": "", "state": "rejected", "error": "", "at": NOW}]),
        a_list("htable:carriers", memory={"state": "differs", "difference": "1 missing", "records": 11}, consul=None,
               blocked=["gw.example.invalid"]),
    ]  # fmt: skip
    entries = [
        change(3000 - 97 * n, ("dispatcher", "address")[n % 2], "PUBLISHED", records=12, counts={"added": 1})
        for n in range(25)
    ]
    entries += [
        {"at": NOW - 560, "event": "Kamailio is up again"},
        change(500, "domain", "REJECTED", reason=CUT),
        change(300, "dispatcher", "HELD", records=12, held={each["key"]: why for each in held}, counts={"removed": 1}),
        {"at": NOW - 120, "dataset": "domain", "event": "rollback", "release": "000041-aa"},
        change(
            60, "htable:carriers", "DEGRADED", records=12, reason="Kamailio does not hold what was loaded: 1 missing"
        ),
    ]
    node = {
        "processes": [program("consul-template"), program("kamailio", restarts=1, reason="sip_options: no answer")],
        "probes": [probe("rpc", True), probe("sip_options", False, "no response within 1 s"), probe("lists", None)],
        "registration": {"state": "registered", "id": "sbc-1", "name": "sbc", "node": "n1", "trouble": ""},
    }  # fmt: skip
    return Shown(NOW, vitals(), "", lists, node, entries)


def hostile() -> Shown:
    """Each text that may come from somebody else is EVIL."""
    lists, entries = [], []
    for evil in EVIL:
        kept = [{"key": evil, "why": evil, "until": NOW}]
        texts = [evil]
        lists.append(
            a_list(evil, verdict=evil, reason=evil, held=kept, waits=kept, out_of_order=kept, named=kept, dropped=texts,
                   refused=texts, draining=texts, blocked=texts, pinned=evil, next=evil,
                   consul={"state": "differs", "at": NOW, "reason": evil, "missing": texts, "extra": texts},
                   staging=[{"path": evil, "digest": "", "state": evil, "error": evil, "at": NOW}],
                   memory={"state": evil, "difference": evil, "records": evil})
        )  # fmt: skip
        entries.append(
            change(1, evil, evil, reason=evil, held={evil: evil}, dropped=texts, counts={"added": evil}, records=evil)
        )
        entries.append({"at": evil, "event": evil})
        entries.append({"at": NOW, "event": evil, "dataset": [evil], "held": texts, "counts": texts})
    evil = EVIL[0]
    node = {
        "processes": [program(evil, state=evil, reason=evil)],
        "probes": [probe(each, False, each) for each in EVIL],
        "registration": dict.fromkeys(("state", "id", "name", "node", "maintenance", "trouble"), evil),
        "drain": drain(evil, reason=evil, blind=evil, trouble=evil, how=evil),
    }
    told = vitals(
        node=evil,
        role=evil,
        version=evil,
        reasons={each: each for each in EVIL},
        processes=(ProcessVitals(evil, True),),
    )
    return Shown(NOW, told, evil, lists, node, entries)
