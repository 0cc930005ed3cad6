"""How long a ping walk lasts where destinations are names (flag 16) and the resolver is silent.

Runs itself again in a mount namespace of its own (`unshare -m`, root), with a resolv.conf that names a black hole.
"""

import itertools
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from bench.settle.common import attempt, put, say
from tests.lab import Kamailio, Lab, program

_HOLE = "127.53.53.53"
_OPTIONS: dict[str, object] = {"reload_delta": 0, "ping_interval": 2, "fr_timer": 400}
_OPTIONS["globals"] = "dns_retr_time=2\ndns_retr_no=1"  # the core's defaults are 5 and 4


def run(directory: Path) -> None:
    if os.environ.get("SETTLE_NAMES") == "inside":
        _inside(directory)
        return
    resolv = directory / "resolv.conf"
    resolv.write_text(f"nameserver {_HOLE}\n")
    script = f'mount --bind {resolv} "$(readlink -f /etc/resolv.conf)" && exec {sys.executable} -m bench.settle names'
    argv = [program("unshare"), "-m", "sh", "-c", script]
    subprocess.run(argv, env={**os.environ, "SETTLE_NAMES": "inside"}, check=True, timeout=300)


def _inside(directory: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole, Lab(directory) as lab:
        hole.bind((_HOLE, 53))
        uas = lab.uas()
        before = time.monotonic()
        kam = lab.kamailio(**_OPTIONS)
        say("start with a silent resolver, s", round(time.monotonic() - before, 2))
        named = "".join(f"1 sip:r{n}.example.com:5060 16 {9 - n}\n" for n in range(3))
        put(kam.list_file, f"1 {uas.uri} 0 10\n{named}")
        before = time.monotonic()
        say("reload of 3 names with flag 16", (attempt(kam.rpc, "dispatcher.reload"), _since(before)))
        time.sleep(1)
        # the pings are sent in list order: the live one first, then the names; its next ping shows a whole walk
        times: list[float] = []
        while len(times) < 4:
            seen = uas.requests["OPTIONS"]
            while uas.requests["OPTIONS"] == seen:
                time.sleep(0.005)
            times.append(time.monotonic())
        say(
            "s between two rounds (interval 2 s) with 3 names",
            [round(b - a, 2) for a, b in itertools.pairwise(times)],
        )
        fresh = lab.kamailio(**_OPTIONS)
        put(fresh.list_file, f"1 {uas.uri} 0 10\n{named}")
        _storm(fresh)
        last = lab.kamailio(**_OPTIONS)
        last.rpc.timeout = 240
        put(last.list_file, f"1 {uas.uri} 0 10\n{named.replace(' 16 ', ' 0 ')}")
        before = time.monotonic()
        answer = attempt(last.rpc, "dispatcher.reload")
        say("reload of 3 names with flags 0", (answer, _since(before), last.rpc.dispatcher()))


def _since(before: float) -> str:
    return f"{time.monotonic() - before:.2f} s"


def _storm(kam: Kamailio, seconds: float = 20.0, gap: float = 0.2) -> None:
    """Reload with a gap that is safe for 4 IP literals (0.1 s + 0.5 ms each); does Kamailio live?"""
    began = time.monotonic()
    while time.monotonic() - began < seconds and kam.answers_rpc():
        attempt(kam.rpc, "dispatcher.reload")
        time.sleep(gap)
    died = _since(began)
    time.sleep(2)
    fate = kam.alive() or [line for line in kam.log.read_text().splitlines() if "signal" in line][:2]
    say(f"3 names never asked for before, reloads every {gap} s: alive after {died}", fate)
