"""A replay says what a real engine did, with a real Kamailio, on the very same recording."""

import json
import os
from collections.abc import Mapping
from typing import Any

from consul_kam import cli
from tests.lab import ConsulAgent, Engine, Lab, wait_for
from tests.lab.world import agent, consul, lab

__all__ = ["agent", "consul", "lab"]

SAID = ("PUBLISHED", "HELD", "REJECTED")


def stage(engine: Engine, *hosts: int, end: str = "dispatcher") -> None:
    lines = [json.dumps({"setid": 1, "address": f"192.0.2.{host}", "port": 5060}) for host in hosts]
    text = "\n".join([*lines, json.dumps({"end": end, "records": len(lines)})]) + "\n"
    (engine.staging / "new").write_text(text)
    (engine.staging / "new").rename(engine.staging / "dispatcher")


def said(entries: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """What became of what, without times."""
    return [
        (entry["verdict"], entry.get("digest"), entry.get("records"), entry.get("held"), entry.get("counts"))
        for entry in entries
        if entry.get("verdict") in SAID
    ]


def test_a_replay_says_what_the_engine_did(lab: Lab, consul: ConsulAgent, capsys: Any, monkeypatch: Any) -> None:
    kam = lab.kamailio(reload_delta=0)
    record = lab.directory / "recorded.jsonl"
    more = f'[log]\nrecord = "{record}"\n'
    engine = lab.engine(kam, consul, dispatcher="hold_for = 6.0", more=more)

    def then(count: int, *hosts: int, **more: Any) -> None:
        stage(engine, *hosts, **more)
        wait_for(f"{count} verdicts", lambda: len(said(engine.journal())) == count, 20, engine.log, every=0.02)
        wait_for("rest", lambda: engine.status()["phase"] == "IDLE", 20, engine.log, every=0.02)

    then(1, 1, 2, 3, 4)
    then(3, 1)  # held, and let go after hold_for
    then(4, 1, 2, 3, 4, end="domain")
    then(5, 1, 2, 3, 4)
    then(6, 1)  # held
    then(7, 1, 2, 3, 4)  # and back
    engine.stop()

    monkeypatch.setenv("CONSUL_KAM_CONFIG", str(engine.config))
    try:
        cli.run(["replay", str(record), "--window", "0", "--json"])
    finally:
        os.environ.pop("CONSUL_KAM_CONFIG", None)
    found: Mapping[str, Any] = json.loads(capsys.readouterr().out)
    assert [verdict for verdict, *_ in said(found["entries"])] == [
        "PUBLISHED", "HELD", "PUBLISHED", "REJECTED", "PUBLISHED", "HELD", "PUBLISHED",
    ]  # fmt: skip
    assert said(found["entries"]) == said(engine.journal())
    assert [hold["end"] for hold in found["holds"]] == ["let go"] * 3 + ["came back"] * 3
