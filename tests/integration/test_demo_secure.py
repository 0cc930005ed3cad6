"""The demo with Vault, ACLs and mutual TLS: secrets rotate under its calls, and none of them is left behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from examples.demo.secure import LEAST, MEMORY
from tests.lab import wait_for

pytestmark = pytest.mark.vault
ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "examples.demo", "--secure", "--once", "--json"]


class Demo:
    """One in the background. `memory`: where its secrets are, known from the first act on."""

    def __init__(self, scratch: Path, *options: str) -> None:
        self._scratch = scratch
        environment = {**os.environ, "TMPDIR": str(scratch)}
        with (scratch / "stderr").open("w") as log:
            self.process = subprocess.Popen(
                [*DEMO, *options],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def plays(self) -> Path:
        """Until the first act."""
        said = lambda: "act 1 of 10" in (self._scratch / "stderr").read_text()  # noqa: E731
        wait_for("the first act", said, 120.0, every=0.1)
        (memory,) = self._scratch.glob(f"ck-demo-*/{MEMORY}")
        assert (memory / "node-node").exists() or "--plain" in self.process.args  # type: ignore[operator]
        return memory.resolve()

    def end(self) -> tuple[int, dict[str, Any]]:
        out, _ = self.process.communicate(timeout=400)
        return self.process.returncode, json.loads(out)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A temporary directory of the demo's own with a path short enough for unix sockets."""
    directory = Path(tempfile.mkdtemp(prefix="ckd-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


def test_secrets_rotate_while_calls_go_on(scratch: Path) -> None:
    demo = Demo(scratch)
    memory = demo.plays()
    code, result = demo.end()
    assert (code, result["ok"], result["error"]) == (0, True, ""), json.dumps(result, indent=1)
    assert result["calls"]["failed"] == 0 < result["calls"]["successful"]
    assert min(result["rotations"].values()) >= LEAST, result["rotations"]
    said = (scratch / "stderr").read_text()
    assert f"{result['rotations']['tokens']} x Consul's token" in said
    assert f"{result['rotations']['certificates']} x Kamailio's certificate" in said
    assert said.rstrip().endswith("0 calls failed")
    assert not memory.exists(), "no secret is left"


def test_no_secret_is_left_by_one_that_was_killed(scratch: Path) -> None:
    demo = Demo(scratch)
    memory = demo.plays()
    children = psutil.Process(demo.process.pid).children(recursive=True)
    names = set[str]()
    for child in children:  # some of them live for a moment only
        with suppress(psutil.NoSuchProcess):
            names.add(child.name())
    assert "vault" in names
    demo.process.send_signal(signal.SIGKILL)
    demo.process.communicate(timeout=30)
    wait_for("an end to its secrets", lambda: not memory.exists(), 30.0, every=0.1)
    _, alive = psutil.wait_procs(children, timeout=15)
    assert alive == []


@pytest.mark.slow
def test_the_plain_pipeline_has_nobody_who_rotates(scratch: Path) -> None:
    code, result = Demo(scratch, "--plain").end()
    assert (code, result["ok"], result["error"], result["pipeline"]) == (1, False, "", "plain")
    assert [act["ok"] for act in result["acts"][:1]] == [True]
    assert set(result["rotations"].values()) == {0}
