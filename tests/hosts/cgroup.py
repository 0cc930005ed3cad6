"""Control groups for one host, so that two hosts' systemds never meet in one; left-overs of killed tests go too."""

import contextlib
import os
import time
from pathlib import Path

PREFIX = "ck-host-"


class Cgroup:
    """One directory in each hierarchy that systemd uses (v2, and the named one of v1), below our own group.

    Its name holds our pid: what a test that was killed left behind is swept away by the next one.
    """

    def __init__(self, name: str) -> None:
        sweep()
        self.directories = [place / f"{PREFIX}{os.getpid()}-{name}" for place in _places()]
        for directory in self.directories:
            directory.mkdir()

    def pids(self) -> set[int]:
        """Every process in there."""
        files = [file for each in self.directories for file in each.rglob("cgroup.procs")]
        return {int(pid) for file in files for pid in _read(file).split()}

    def remove(self, timeout: float = 30.0) -> None:
        """OSError where something lives in there after `timeout` s."""
        deadline = time.monotonic() + timeout
        for directory in self.directories:
            while True:
                try:
                    _remove(directory)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)


def sweep() -> None:
    """Remove the groups of tests that are dead; those in which something still lives stay."""
    for place in _places():
        for directory in place.glob(f"{PREFIX}*"):
            owner = directory.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):
                    _remove(directory)


def _places() -> list[Path]:
    """Our own group in each hierarchy."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        for _, mount, kind, options, *_ in mounts:
            unified = not controllers and kind == "cgroup2"
            if unified or (controllers == "name=systemd" and kind == "cgroup" and controllers in options.split(",")):
                place = Path(mount, own.lstrip("/"))
                found.append(place if place.is_dir() else Path(mount))
                break
    return found


def _remove(directory: Path) -> None:
    if directory.exists():
        for path, _, _ in os.walk(directory, topdown=False):
            os.rmdir(path)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""  # its group is gone
