"""kam-apply's wall time with an engine running and the window open, beside an empty Python of the same kind."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import Any

from bench.change import p95
from bench.pipelines import ours
from tests.lab import Lab
from tests.lab.engine import PLUGINS

RUNS = 40


def run() -> dict[str, Any]:
    """ms; each run hands over a change that is staged by hand the moment before, so that there is something to do."""
    took: dict[str, list[float]] = {"kam_apply": [], "nothing_staged": [], "python_only": []}
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab:
        pipeline = ours(lab, ("min_gap = 0",), reload_delta=0)
        engine = pipeline.engine
        assert engine is not None
        pipeline.fill(3)
        env = {**os.environ, **engine.env}
        plugin = _installed(Path(place))
        bare = [sys.executable, "-IS", "-c", "import _socket, os, sys, time"]
        for number in range(RUNS):
            new = engine.staging / "dispatcher.new"
            new.write_text("".join(f"1 sip:127.0.0.{n}:5060 0 10\n" for n in (1, 2, 3, 10 + number)))
            new.rename(engine.staging / "dispatcher")
            took["kam_apply"].append(_time([plugin], env))
            took["nothing_staged"].append(_time([plugin], env))
            took["python_only"].append(_time(bare, env))
            sleep(0.15)
    return {name: {"p50_ms": median(values), "p95_ms": p95(values)} for name, values in took.items()}


def _installed(place: Path) -> str:
    """As pip installs it: with a python3 beside it."""
    beside = place / "bin"
    beside.mkdir()
    (beside / "python3").symlink_to(sys.executable)
    return shutil.copy(PLUGINS / "kam-apply", beside)


def _time(argv: list[str], env: dict[str, str]) -> float:
    began = monotonic()
    subprocess.run(argv, env=env, check=True, capture_output=True)
    return (monotonic() - began) * 1000
