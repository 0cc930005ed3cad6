"""The demo tells the truth: 0 only where each act ended as promised, and nothing of it is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from consul_kam.adapters import processes
from examples.demo.__main__ import workspace
from tests.lab import wait_for

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "examples.demo", "--once", "--json"]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary directory of the demo's own with a path short enough for unix sockets."""
    directory = Path(tempfile.mkdtemp(prefix="ckd-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def start(scratch: Path, *options: str) -> "subprocess.Popen[str]":
    log = (scratch / "stderr").open("w")
    environment = {**os.environ, "TMPDIR": str(scratch)}
    return subprocess.Popen(
        [*DEMO, *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def end(demo: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    out, _ = demo.communicate(timeout=400)
    return demo.returncode, json.loads(out)


def said(scratch: Path, text: str, timeout: float = 90.0) -> None:
    wait_for(f"{text!r} on the demo's screen", lambda: text in (scratch / "stderr").read_text(), timeout, every=0.1)


def gone(children: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


def test_each_act_ends_as_promised_and_no_call_fails(scratch: Path) -> None:
    code, result = end(start(scratch))
    assert (code, result["ok"], result["error"]) == (0, True, ""), json.dumps(result, indent=1)
    assert [act["title"] for act in result["acts"] if not act["ok"]] == []
    assert len(result["acts"]) == 10
    assert result["calls"]["failed"] == 0 < result["calls"]["successful"]
    sources = {check["source"] for act in result["acts"] for check in act["checks"]}
    assert sources == {"sampler", "journal", "routers"}
    assert list(scratch.glob("ck-demo-*")) == []


def test_it_fails_without_the_engine(scratch: Path) -> None:
    code, result = end(start(scratch, "--no-engine"))
    assert (code, result["ok"], result["acts"]) == (1, False, [])
    assert "cannot see r1 and r2 in Kamailio's memory" in result["error"]


@pytest.mark.slow
def test_it_fails_when_the_engine_dies_in_the_middle(scratch: Path) -> None:
    demo = start(scratch)
    said(scratch, "act 2 of 10")
    engine = [child for child in psutil.Process(demo.pid).children() if "consul_kam" in child.cmdline()]
    assert len(engine) == 1
    engine[0].kill()
    code, result = end(demo)
    assert (code, result["ok"], result["acts"][0]["ok"]) == (1, False, True)
    assert not any(act["ok"] for act in result["acts"][2:])


@pytest.mark.slow
def test_the_plain_pipeline_is_shown_as_it_is(scratch: Path) -> None:
    code, result = end(start(scratch, "--plain"))
    assert (code, result["ok"], result["error"], result["pipeline"]) == (1, False, "", "plain")
    acts = {act["title"]: act for act in result["acts"]}
    assert [act["ok"] for act in result["acts"][:2]] == [True, True]
    assert acts["Consul says: none"]["failed_calls"] > 0
    for title in ("12 changes within one window", "One dies without a word", "A hostile registration"):
        assert not acts[title]["ok"]


@pytest.mark.slow
def test_what_outlived_its_supervisor_is_ended_by_the_next_demo(scratch: Path) -> None:
    """Here by the next demo, of one that was killed together with its sweeper."""
    record = scratch / "ck-demo-killed" / "ck-run" / "state-node" / "kamailio" / "process"
    record.parent.mkdir(parents=True)
    (scratch / "ck-demo-killed" / "lock").touch()
    orphan = processes.spawn(["sleep", "300"], record, os.environ)
    wait_for("sleep", lambda: processes.recorded(record) == orphan, 10.0)
    with workspace(scratch) as own:
        found, left = list(scratch.glob("ck-demo-*")), processes.members(orphan)
    processes.empty(orphan)
    processes.reap(orphan)
    assert (found, left) == ([own], [])


@pytest.mark.slow
def test_killed_together_with_its_supervisor_it_leaves_nothing_behind(scratch: Path) -> None:
    demo = start(scratch)
    said(scratch, "nobody supervises now", 400.0)
    children = psutil.Process(demo.pid).children(recursive=True)
    found = [processes.recorded(record) for record in scratch.glob("ck-demo-*/ck-*/state-*/*/process")]
    orphans = [each for each in found if each is not None]
    assert len(orphans) == 2
    demo.kill()
    demo.communicate(timeout=30)
    try:
        gone(children)
        wait_for("an end to its programs", lambda: not any(map(processes.members, orphans)), 20.0)
    finally:
        for each in orphans:
            processes.empty(each)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_it_leaves_nothing_behind_however_it_ends(scratch: Path, number: signal.Signals) -> None:
    demo = start(scratch)
    said(scratch, "act 1 of 10")
    time.sleep(1.0)
    children = psutil.Process(demo.pid).children(recursive=True)
    names = set[str]()
    for child in children:  # some of them live for a moment only
        with suppress(psutil.NoSuchProcess):
            names.add(child.name())
    assert {"consul", "consul-template", "kamailio", "sipp"} <= names
    demo.send_signal(number)
    demo.communicate(timeout=30)
    assert demo.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    gone(children)
    # the next one sweeps what a killed one could not
    with workspace(scratch) as own:
        assert list(scratch.glob("ck-demo-*")) == [own]
    assert list(scratch.glob("ck-demo-*")) == []
