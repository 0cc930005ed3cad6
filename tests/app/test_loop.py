"""The decision thread's loop, and what becomes of an engine in which something breaks that nobody expected."""

import subprocess
import sys
import time

import pytest

from consul_kam.app.loop import Loop

BROKEN = """
import sys, threading, time
from consul_kam.app.loop import Worker, end_loudly
threading.excepthook = end_loudly
def job():
    raise KeyError("nobody thought of this")
Worker("disk").submit(job)
time.sleep(30)
"""


def test_a_defect_in_a_worker_ends_the_engine_loudly() -> None:
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 70
    assert "KeyError: 'nobody thought of this'" in done.stderr


def test_it_ends_too_where_nobody_reads_the_log() -> None:
    script = BROKEN.replace("def job", "sys.stderr.close()\ndef job")
    assert subprocess.run([sys.executable, "-c", script], timeout=20, check=False).returncode == 70


def test_a_flood_of_calls_does_not_keep_timers_waiting() -> None:
    loop, calls = Loop(), [0]

    def flood() -> None:
        calls[0] += 1
        if calls[0] == 1000:
            pytest.fail("the timer never ran")
        loop.post(flood)

    loop.post(flood)
    loop.at(time.monotonic(), loop.stop)
    loop.run(lambda: None)
