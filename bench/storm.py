"""Changes as fast as Consul takes them while Kamailio pings 200 destinations and calls go on. For the record."""

import itertools
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

from bench.dead import inactive
from bench.pipelines import Pipeline, host, ours, plain
from tests.lab import Lab, LabError, wait_for

DESTINATIONS, ANSWERING, SECONDS, RATE = 200, 8, 60.0, 20


def run() -> dict[str, Any]:
    """`alive`: Kamailio has the pid that it had before; calls as sipp counts them."""
    result: dict[str, Any] = {"destinations": DESTINATIONS, "seconds": SECONDS}
    for make in (plain, ours):
        with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
            kamailio = {"reload_delta": 0, "ping_interval": 1, "fr_timer": 500, "shm": 128, "children": 4}
            pipeline = make(lab, **kamailio)
            result[pipeline.name] = _storm(lab, pipeline)
    return result


def _storm(lab: Lab, pipeline: Pipeline) -> dict[str, Any]:
    pipeline.start()
    living = [lab.uas() for _ in range(ANSWERING)]
    addresses = [("127.0.0.1", uas.port) for uas in living]
    addresses += [(host(number), 5060) for number in range(ANSWERING, DESTINATIONS)]
    for number, (address, port) in enumerate(addresses):
        pipeline.consul.register("router", f"r{number:03d}", address, port)
    dead = DESTINATIONS - ANSWERING
    wait_for("the dead ones found by probing", lambda: inactive(pipeline) == dead, 60.0)
    calls = lab.sipp(pipeline.kamailio, RATE, int(RATE * SECONDS))
    pid, until, changes = pipeline.kamailio.pid, monotonic() + SECONDS, 0
    for number in itertools.cycle(range(DESTINATIONS)):
        if monotonic() > until:
            break
        address, port = addresses[number]
        pipeline.consul.register("router", f"r{number:03d}", address, port, meta={"priority": str(1 + changes % 20)})
        changes += 1
    alive = pipeline.kamailio.alive() and pipeline.kamailio.pid == pid and pipeline.kamailio.answers_options(2.0)
    try:
        counted = calls.wait(60.0)._asdict()
    except LabError:
        counted = calls.stats()._asdict()
    return {"alive": alive, "changes": changes, **counted}
