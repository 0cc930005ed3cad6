"""What a user's pip would fetch, fetched here: a host has no network."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.hosts.host import Host
from tests.lab.process import LabError

REPO = Path(__file__).parents[2]
PYTHON = {"bookworm": "3.11", "trixie": "3.13"}
"""Debian's own Python of each suite."""
_NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "bench")


def build_wheel(scratch: Path, version: str = "") -> Path:
    """The wheel of this tree, from a copy: a build leaves its traces. `version`: another one than it has."""
    copy = shutil.copytree(REPO, scratch / "source", symlinks=True, ignore=_NOT_SOURCE)
    if version:
        names = copy / "consul_kam" / "__init__.py"
        names.write_text(re.sub('(?m)^__version__ = ".*"$', f'__version__ = "{version}"', names.read_text()))
    _pip("-m", "build", "--wheel", "--no-isolation", "--outdir", scratch / "dist", copy)
    (wheel,) = (scratch / "dist").glob("*.whl")
    return wheel


def wheelhouse(suite: str, wheel: Path) -> Path:
    """A directory with the wheels of all that ours depends on, for the suite's Python; kept for the next run."""
    pins = REPO / "tools" / "dev-requirements.txt"
    python, machine = PYTHON[suite], os.uname().machine
    key = hashlib.sha256(pins.read_bytes() + (REPO / "setup.py").read_bytes() + machine.encode()).hexdigest()[:12]
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    house = caches / "consul_kam" / "wheels" / f"{python}-{key}"
    if not house.exists():
        house.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=house.parent) as scratch:
            platforms = [f"--platform=manylinux{age}_{machine}" for age in ("2014", "_2_28")]
            words = ["download", "--only-binary=:all:", f"--python-version={python}", *platforms, "-c", pins]
            _pip("-m", "pip", "--disable-pip-version-check", *words, "-d", scratch, wheel)
            (Path(scratch) / wheel.name).unlink()
            try:
                Path(scratch).rename(house)
            except OSError:
                if not house.exists():  # else another run was first
                    raise
            Path(scratch).mkdir(exist_ok=True)
    return house


def install(host: Host, wheel: Path) -> None:
    """As examples/systemd/README.md says, but without a network."""
    host.copy(wheelhouse(host.suite, wheel), "/tmp/wheels")
    host.copy(wheel, f"/tmp/wheels/{wheel.name}")
    host.run("python3", "-m", "venv", "/opt/consul_kam", timeout=120)
    pip = ("/opt/consul_kam/bin/pip", "install", "--no-index", "--find-links=/tmp/wheels", "consul-kam")
    host.run(*pip, timeout=300)
    host.run("rm", "-r", "/tmp/wheels")


def _pip(*words: str | Path) -> None:
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise LabError(f"cannot run {' '.join(map(str, words))}: {done.returncode}\n{done.stdout}{done.stderr}")
