"""40 changes back to back: how many are lost, and when memory is what Consul says. Ours beside the plain pipeline."""

import tempfile
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

from bench.pipelines import Pipeline, ours, plain
from tests.lab import Lab

CHANGES = 40
PATIENCE = 12.0
"""Seconds that memory has to become right; the plain one never does with the default window."""


def run(reload_delta: int | None) -> dict[str, Any]:
    """`reload_delta` None: the module's default, 5 s."""
    result: dict[str, Any] = {"changes": CHANGES, "reload_delta": 5 if reload_delta is None else reload_delta}
    for make in (plain, ours):
        with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
            pipeline = make(lab, reload_delta=reload_delta)
            pipeline.fill(1)
            sleep(6.5 if reload_delta is None else 1.0)
            result[pipeline.name] = _storm(pipeline, reload_delta)
    return result


def _storm(pipeline: Pipeline, reload_delta: int | None) -> dict[str, Any]:
    first = monotonic()
    opens = int(time()) + 5 + (first - time())
    for number in range(1, CHANGES + 1):
        pipeline.register(number)
    last = monotonic()
    while pipeline.count() != CHANGES + 1 and monotonic() - last < PATIENCE:
        sleep(0.002)
    now = monotonic()
    lost = CHANGES + 1 - pipeline.count()
    told: dict[str, Any] = {"lost": lost, "storm_ms": (last - first) * 1000}
    if not lost:
        told["equal_after_last_change_ms"] = (now - last) * 1000
        if reload_delta is None:
            told["equal_after_window_opens_ms"] = (now - max(opens, last)) * 1000
    return told
