"""Calls while one of two routers is dead and an unrelated change comes every 3 s. Ours beside the plain pipeline."""

import tempfile
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from bench.pipelines import Pipeline, ours, plain
from tests.lab import Lab, free_port, wait_for

CALLS, RATE, EVERY = 1200, 50, 3.0


def run() -> dict[str, Any]:
    """1,200 calls at 50/s; no failover in Kamailio's configuration, so a call to the dead router fails."""
    result: dict[str, Any] = {"calls": CALLS, "rate": RATE}
    for make in (plain, ours):
        with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
            pipeline = make(lab, reload_delta=0, ping_interval=5, fr_timer=1000)
            pipeline.start()
            result[pipeline.name] = _calls(lab, pipeline)
    result["failed_ratio"] = result["ours"]["failed"] / max(1, result["plain"]["failed"])
    return result


def _calls(lab: Lab, pipeline: Pipeline) -> dict[str, Any]:
    living = lab.uas()
    for ident, port in (("living", living.port), ("dead", free_port())):
        pipeline.consul.register("router", ident, "127.0.0.1", port)
    wait_for("both in memory", lambda: pipeline.count() == 2, 20.0)
    wait_for("the dead one found by probing", lambda: inactive(pipeline) == 1, 30.0)
    sipp = lab.sipp(pipeline.kamailio, RATE, CALLS)
    changes, began = 0, monotonic()
    while sipp.running():
        # A member of another set comes and goes: nothing that concerns these calls.
        pipeline.consul.register("router", "unrelated", "127.0.0.1", living.port, meta={"n": str(changes)})
        sleep(EVERY / 2)
        pipeline.consul.deregister("unrelated")
        sleep(EVERY / 2)
        changes += 2
        if monotonic() - began > 120:
            break
    calls = sipp.wait(60.0)
    return {"failed": calls.failed, "successful": calls.successful, "changes": changes}


def inactive(pipeline: Pipeline) -> int:
    """How many destinations of set 1 take no calls because no probe was answered."""
    return sum(d.flags.startswith("I") for d in pipeline.rpc.dispatcher().get(1, []))
