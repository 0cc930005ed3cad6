"""A machine that stands still where it likes: `python -m pytest -p tools.jitter tests/integration -k NAME`.

Over and over one of the run's processes, all of them, or pytest itself is stopped for a moment. A test that waits for a
state which only lasts a moment, or goes on before the engine is through, fails by it; on a busy machine it would have,
once in a hundred runs. JITTER="EVERY LEAST MOST" (seconds, "0.4 0.03 0.5"): how often, and how long; from 1 s on the
deadlines of what is tested begin to pass, and rightly so.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

import psutil

PROGRAMS = ("consul", "kamailio", "postgres", "python", "rtpengine", "sipp", "vault")
ENTERS = ("nsenter", "runuser", "setpriv", "unshare")
"""Who waits for its child and stops itself where that is stopped: nobody would wake it."""


def main(pid: int, every: float, least: float, most: float) -> None:
    """Until the process `pid` has ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    pytest = psutil.Process(pid)
    while pytest.is_running():
        time.sleep(random.expovariate(1 / every))
        stand_still(chosen(pytest), random.uniform(least, most))


def chosen(pytest: psutil.Process) -> Iterable[psutil.Process]:
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        below = [each for each in pytest.children(recursive=True) if fit(each)]
    dice = random.random()
    if dice < 0.2 or not below:
        return [pytest]
    return below if dice < 0.35 else [random.choice(below)]


def fit(process: psutil.Process) -> bool:
    """What a test has stopped itself stays so."""
    try:
        parent = process.parent()
        return (
            process.pid != os.getpid()
            and process.name().startswith(PROGRAMS)
            and process.status() != psutil.STATUS_STOPPED
            and (parent is None or parent.name() not in ENTERS)
        )
    except psutil.NoSuchProcess:
        return False


def stand_still(these: Iterable[psutil.Process], seconds: float) -> None:
    stopped: list[psutil.Process] = []
    try:
        for each in these:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.suspend()
                stopped.append(each)
        time.sleep(seconds)
    finally:
        for each in reversed(stopped):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.resume()


def pytest_configure(config: Any) -> None:
    words = os.environ.get("JITTER", "0.4 0.03 0.5").split()
    argv = [sys.executable, __file__, str(os.getpid()), *words]
    config.jitter = subprocess.Popen(argv, start_new_session=True)


def pytest_unconfigure(config: Any) -> None:
    config.jitter.terminate()
    config.jitter.wait()


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:5]))
