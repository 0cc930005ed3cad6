"""What `consul-kam run` costs at rest: resident memory at 10 and 10,000 destinations, after the list is published and
changed some times, since two lists side by side take more than one; CPU while nothing happens.

Attached to a Kamailio at both; at 10 also as the supervisor of a whole node.
"""

import tempfile
from pathlib import Path
from time import sleep
from typing import Any

from bench.pipelines import BIG, ours
from bench.restarted import Ours
from tests.lab import Lab

SETTLE, IDLE = 3.0, 60.0
CHANGES, SPACING = 6, 6.0
"""Each further from the one before than our gap at 10,000 (5.1 s)."""


def run() -> dict[str, Any]:
    """MB as in VmRSS of /proc, after the last change; CPU in % of one core over 60 s."""
    return {**{str(count): _one(count) for count in (10, 10_000)}, "node-10": node()}


def node() -> dict[str, float]:
    """Role sbc, spawn mode: all probes that apply, registration and the status page, which nobody reads."""
    with (
        tempfile.TemporaryDirectory(prefix="ck-bench-") as place,
        Lab(Path(place)) as lab,
        Ours(Path(place) / "node", lab.consul()) as kept,
    ):
        return _at_rest(kept.pid)


def _one(count: int) -> dict[str, float]:
    options: dict[str, object] = {"reload_delta": 0, **(BIG if count > 1000 else {})}
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
        pipeline = ours(lab, (), "max_records = 20000", **options)
        pipeline.fill(count)
        for change in range(CHANGES):
            number, join = count + change // 2, change % 2 == 0
            (pipeline.register if join else pipeline.deregister)(number)
            pipeline.until(number, join)
            sleep(SPACING)
        assert pipeline.engine is not None
        return _at_rest(pipeline.engine.pid)


def _at_rest(pid: int) -> dict[str, float]:
    sleep(SETTLE)
    before = _cpu_ticks(pid)
    sleep(IDLE)
    used = (_cpu_ticks(pid) - before) / 100
    return {
        "rss_mb": _status(pid, "VmRSS"),
        "peak_mb": _status(pid, "VmHWM"),
        "idle_cpu_percent": used / IDLE * 100,
    }


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _status(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024
