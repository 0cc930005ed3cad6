"""One change in Consul -> in Kamailio's memory, p50 and p95, ours against the plain pipeline, interleaved."""

import tempfile
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from bench.pipelines import BIG, Pipeline, ours, plain
from tests.lab import Lab


def run(destinations: int = 10, changes: int = 200, spacing: float | None = None) -> dict[str, Any]:
    """`changes` changes a pipeline, joins and leavings in turn; `spacing` s after each: the two pipelines take turns,
    so that changes to one are further apart than our gap (5.1 s at 10,000, from the end of a reload on)."""
    wait = spacing if spacing is not None else 0.08 + 0.0003 * destinations
    options: dict[str, object] = {"reload_delta": 0, **(BIG if destinations > 1000 else {})}
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
        pair = [plain(lab, **options), ours(lab, (), "max_records = 20000", **options)]
        for pipeline in pair:
            pipeline.fill(destinations)
        took: dict[str, list[float]] = {"plain": [], "ours": []}
        sleep(max(1.0, wait))
        for change in range(changes):
            for pipeline in pair:
                took[pipeline.name].append(_one(pipeline, destinations + change // 2, change % 2 == 0))
                sleep(wait)
        engine = pair[1].engine
        assert engine is not None
        stages = [
            e["ms"] for e in engine.journal() if e.get("verdict") in ("PUBLISHED", "HELD") and "verified" in e["ms"]
        ]
    return _result(destinations, took, stages[-changes:])


def _one(pipeline: Pipeline, number: int, join: bool) -> float:
    began = monotonic()
    (pipeline.register if join else pipeline.deregister)(number)
    return (pipeline.until(number, join) - began) * 1000


def _result(destinations: int, took: dict[str, list[float]], stages: list[dict[str, float]]) -> dict[str, Any]:
    plain50, ours50 = median(took["plain"]), median(took["ours"])
    plain95, ours95 = p95(took["plain"]), p95(took["ours"])
    names = dict.fromkeys(name for ms in stages for name in ms)
    after = median(ms["verified"] - ms["memory"] for ms in stages)
    return {
        "destinations": destinations,
        "changes": len(took["ours"]),
        "plain_ms": {"p50": plain50, "p95": plain95},
        "ours_ms": {"p50": ours50, "p95": ours95},
        "memory_ratio": {"p50": ours50 / plain50, "p95": ours95 / plain95},
        "verified_after_ms": after,
        "verified_ratio_p50": (ours50 + after) / plain50,
        "stages_p50_ms": {name: median(ms[name] for ms in stages if name in ms) for name in names},
    }


def p95(values: list[float]) -> float:
    """The 95th percentile, nearest rank."""
    return sorted(values)[max(0, -(-len(values) * 95 // 100) - 1)]
