"""The least safe gap between two dispatcher writes: `python -m bench.gap [--sizes 10,200] [--seconds 20] [--busy]`.

Each write frees the list that was current before the last write (dispatch.c, ds_avl_destroy of the next index). A walk
that began on it, the ping timer's above all, must have ended by then. So: measure how long a walk takes (first to last
OPTIONS of a round, at a socket that swallows them), then reload with gaps around it and see whether Kamailio lives.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from tests.lab import Fault, Kamailio, Lab, Unreachable

_QUIET = 0.35  # s without an OPTIONS: the round is over


class Trial(NamedTuple):
    """Kamailio's fate with one gap; `died_after` s, None where it lived."""

    size: int
    gap_ms: float
    died_after: float | None
    writes: int
    reload_ms: float


class Sink:
    """Swallows OPTIONS on all of 127.0.0.0/8 at one port; `rounds` are (s it took, OPTIONS) of each ping round."""

    def __init__(self) -> None:
        self.rounds: list[tuple[float, int]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 25)
        self._socket.bind(("0.0.0.0", 0))
        self._socket.settimeout(_QUIET)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._swallow, daemon=True).start()

    def _swallow(self) -> None:
        first = last = 0.0
        seen: set[bytes] = set()
        while True:
            try:
                data = self._socket.recv(2048)
            except TimeoutError:
                if seen:
                    self.rounds.append((last - first, len(seen)))
                seen = set()
                continue
            except OSError:
                return
            call = data.split(b"Call-ID: ", 1)[-1].split(b"\r\n", 1)[0]
            if call in seen:
                continue  # a retransmission is no part of the walk
            last = time.monotonic()
            first = first if seen else last
            seen.add(call)

    def close(self) -> None:
        self._socket.close()


def _list(size: int, port: int, live: str) -> str:
    # descending priorities: the fastest reload there is, so the shortest time between two frees
    lines = [f"2 sip:127.{1 + n // 62500}.{n // 250 % 250}.{1 + n % 250}:{port} 0 {size - n}\n" for n in range(size)]
    return f"1 {live}\n" + "".join(lines)


def _kamailio(lab: Lab, size: int, sink: Sink, live: str, interval: int) -> Kamailio:
    # fr_timer 400 ms: a transaction ends before its first retransmission
    options = {"reload_delta": 0, "ping_interval": interval, "fr_timer": 400, "shm": 512 if size > 5000 else 256}
    kam = lab.kamailio(**options)
    kam.list_file.write_text(_list(size, sink.port, live))
    kam.rpc.call("dispatcher.reload")
    return kam


def walk(directory: Path, size: int, rounds: int = 5) -> list[float]:
    """How long the ping timer's walk over `size` destinations takes, s each."""
    sink = Sink()
    with Lab(directory) as lab:
        _kamailio(lab, size, sink, lab.uas().uri, interval=2 if size <= 2000 else 5)
        deadline = time.monotonic() + 60
        while len(full := [took for took, count in sink.rounds if count >= 0.9 * size]) < rounds:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
    sink.close()
    return full


def trial(directory: Path, size: int, gap: float, seconds: float) -> Trial:
    """Reload, wait `gap` s after its answer, reload, ...; pings each second, 20 calls a second, for `seconds`."""
    sink, began, writes, spent = Sink(), time.monotonic(), 0, 0.0
    with Lab(directory) as lab:
        kam = _kamailio(lab, size, sink, lab.uas().uri, interval=1 if size <= 2000 else 2)
        kam.rpc.timeout = 20
        lab.sipp(kam, rate=20, calls=int(seconds * 20))
        died: float | None = None
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            try:
                at = time.monotonic()
                kam.rpc.call("dispatcher.reload")
            except (Unreachable, Fault, TimeoutError):
                died = time.monotonic() - began
                break
            writes, spent = writes + 1, spent + time.monotonic() - at
            time.sleep(gap)
        if died is None and not kam.alive():
            died = time.monotonic() - began
    sink.close()
    return Trial(size, round(gap * 1000, 1), died and round(died, 1), writes, round(spent * 1000 / max(1, writes), 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", default="10,200,1000,2000")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--gaps", default="", help="gaps in ms, instead of multiples of the measured walk")
    parser.add_argument("--busy", action="store_true", help="one process per core burns CPU meanwhile")
    asked = parser.parse_args()
    burners = [subprocess.Popen([sys.executable, "-c", "while 1: pass"]) for _ in range(2 if asked.busy else 0)]
    try:
        with tempfile.TemporaryDirectory(prefix="gap-") as scratch:
            for size in map(int, asked.sizes.split(",")):
                _one_size(
                    Path(scratch), size, asked.seconds, [float(gap) / 1000 for gap in asked.gaps.split(",") if gap]
                )
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    return 0


def _one_size(scratch: Path, size: int, seconds: float, gaps: list[float]) -> None:
    walks = walk(scratch / f"walk{size}", size)
    longest, rule = max(walks, default=0.0), 0.1 + 0.0005 * size
    print(
        json.dumps({"size": size, "walk_ms": [round(took * 1000, 1) for took in walks], "rule_ms": rule * 1000}),
        flush=True,
    )
    for gap in gaps or [0.0, longest / 4, longest / 2, longest, 2 * longest, rule]:
        result = trial(scratch / f"{size}-{gap}", size, gap, seconds)
        print(json.dumps(result._asdict()), flush=True)


if __name__ == "__main__":
    sys.exit(main())
