"""From the rename of a rendered file to Kamailio's memory: our part alone, without Consul and consul-template.

Beside it the plain pipeline's part, a kamcmd process a change. The two take turns in one run.
"""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from bench.change import p95
from bench.pipelines import BIG, Pipeline, host, ours, plain
from tests.lab import Lab


def run(destinations: int = 10, changes: int = 100) -> dict[str, Any]:
    """`changes` changes a pipeline, a destination joins and leaves again; ms."""
    options: dict[str, object] = {"reload_delta": 0, **(BIG if destinations > 1000 else {})}
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
        pair = [plain(lab, **options), ours(lab, (), "max_records = 20000", **options)]
        for pipeline in pair:
            _put(pipeline, _text(pipeline, range(destinations)))
            pipeline.until(destinations - 1, True)
        took: dict[str, list[float]] = {pipeline.name: [] for pipeline in pair}
        sleep(1 + 0.001 * destinations)
        for change in range(changes):
            for pipeline in pair:
                took[pipeline.name].append(_one(pipeline, destinations, change))
                sleep(0.08 + 0.0003 * destinations)
        engine = pair[1].engine
        assert engine is not None
        stages = [entry["ms"] for entry in engine.journal() if "verified" in entry.get("ms", {})][-changes:]
    names = dict.fromkeys(name for ms in stages for name in ms)
    return {
        "destinations": destinations,
        **{f"{name}_ms": {"p50": median(ms), "p95": p95(ms)} for name, ms in took.items()},
        "ratio_p50": median(took["ours"]) / median(took["plain"]),
        "stages_p50_ms": {name: median(ms[name] for ms in stages if name in ms) for name in names},
    }


def _one(pipeline: Pipeline, destinations: int, change: int) -> float:
    """Each joins once: the guards would hold one that leaves for the third time."""
    join, other = change % 2 == 0, destinations + change // 2
    text = _text(pipeline, [*range(destinations), *([other] if join else [])])
    began = monotonic()
    _put(pipeline, text)
    return (pipeline.until(other, join) - began) * 1000


def _put(pipeline: Pipeline, text: str) -> None:
    path = pipeline.engine.staging / "dispatcher" if pipeline.engine is not None else pipeline.kamailio.list_file
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)
    if pipeline.engine is None:
        kamcmd = ["kamcmd", "-s", f"unix:{pipeline.kamailio.ctl}", "dispatcher.reload"]
        subprocess.run(kamcmd, stdout=subprocess.DEVNULL, check=True)


def _text(pipeline: Pipeline, numbers: Sequence[int]) -> str:
    if pipeline.engine is None:
        return "".join(f"1 sip:{host(n)}:5060 16 10\n" for n in numbers)
    return "".join(_record(n) + "\n" for n in numbers) + f'{{"end":"dispatcher","records":{len(numbers)}}}\n'


def _record(number: int) -> str:
    """As templates/dispatcher.ctmpl writes it."""
    id = f"r{number:05d}"
    record = {
        "setid": 1, "source": {"service": "router", "dc": "", "id": id, "node": "n1"}, "duid": id,
        "address": host(number), "port": 5060, "priority": 10, "weight": 1, "status": "passing",
        "weight_as": "rweight", "warning": "in", "critical": "out",
    }  # fmt: skip
    return json.dumps(record, separators=(",", ":"))
