"""A state that changes between reading and reload: how wide the moment is, what is lost, how it is noticed."""

import random
import socket
import statistics
import threading
import time
from pathlib import Path

from bench.settle.common import put, say
from tests.lab import Kamailio, Lab, Rpc
from tests.lab.rpc import Destination, _packet, decode

_BITS = {"A": 0, "I": 1, "T": 2, "D": 4}
_URI = "sip:10.9.9.9:5060"


def run(directory: Path) -> None:
    with Lab(directory) as lab:
        kam = lab.kamailio(reload_delta=0, ctl_body=8192, ctl_struct=4096, pkg=64, shm=256)
        for size in (10, 1000, 10_000):
            _width(kam, size)
        _operator(kam, pipelined=False)
        _operator(kam, pipelined=True)


def _list(size: int) -> list[str]:
    return [
        f"1 {_URI} 0 9",
        *(f"1 sip:10.{n >> 16}.{n >> 8 & 255}.{n & 255}:5060 0 {n % 9} duid=r{n}" for n in range(size - 1)),
    ]


def _carry(kam: Kamailio, found: list[Destination]) -> None:
    lines = (f"1 {item.uri} {_flags(item.flags)} {item.priority} {item.attrs}" for item in reversed(found))
    put(kam.list_file, "\n".join(lines) + "\n")


def _flags(letters: str) -> int:
    return _BITS[letters[0]] + (8 if letters[1] == "P" else 0)


def _width(kam: Kamailio, size: int) -> None:
    """From the complete reply to the reload's answer: read, write the file with the states, reload."""
    put(kam.list_file, "\n".join(_list(size)) + "\n")
    kam.rpc.call("dispatcher.reload")
    widths, reads, shorts, reloads = [], [], [], []
    for _ in range(10):
        began = time.perf_counter()
        kam.rpc.call("dispatcher.list", "short")
        read = time.perf_counter()
        shorts.append((read - began) * 1000)
        found = kam.rpc.dispatcher()[1]
        got = time.perf_counter()
        _carry(kam, found)
        written = time.perf_counter()
        kam.rpc.call("dispatcher.reload")
        done = time.perf_counter()
        reads.append((got - read) * 1000)
        widths.append((done - got) * 1000)
        reloads.append((done - written) * 1000)
    p50 = [round(statistics.median(values), 2) for values in (reads, shorts, widths, reloads)]
    say(
        f"{size} destinations, p50 ms: list (decoded here), list short, list's end to reload's end, the reload of it",
        p50,
    )


def _pipelined(kam: Kamailio) -> list[str]:
    """dispatcher.list and dispatcher.reload in one packet on one connection; FLAGS of _URI just before the reload."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(5)
        link.connect(str(kam.ctl))
        link.sendall(_packet(1, ["dispatcher.list"]) + _packet(2, ["dispatcher.reload"]))
        stream = b""
        replies: list[bytes] = []
        while len(replies) < 2:
            stream += link.recv(1 << 20)
            while (end := _complete(stream)) and len(stream) >= end:
                replies.append(stream[:end])
                stream = stream[end:]
    reader = Rpc(kam.ctl)
    reader.call = lambda *_: decode(replies[0][_head(replies[0]) :])  # type: ignore[method-assign]
    return [item.flags for item in reader.dispatcher()[1] if item.uri == _URI]


def _head(packet: bytes) -> int:
    return 2 + (packet[1] >> 2 & 3) + 1 + (packet[1] & 3) + 1


def _complete(stream: bytes) -> int:
    if len(stream) < 2 or len(stream) < _head(stream):
        return 0
    size = (stream[1] >> 2 & 3) + 1
    return _head(stream) + int.from_bytes(stream[2 : 2 + size], "big")


def _operator(kam: Kamailio, pipelined: bool, trials: int = 300) -> None:
    """An operator disables the destination at a random moment; count what the reload took back, and what we noticed."""
    operator = Rpc(kam.ctl)
    lost = noticed = false_alarms = 0
    for _ in range(trials):
        put(kam.list_file, "\n".join(_list(10)) + "\n")
        kam.rpc.call("dispatcher.reload")
        hand = threading.Timer(random.uniform(0.0, 0.003), operator.call, ["dispatcher.set_state", "dx", 1, _URI])
        hand.start()
        found = kam.rpc.dispatcher()[1]
        wrote = next(item.flags for item in found if item.uri == _URI)
        _carry(kam, found)
        if pipelined:
            before = _pipelined(kam)[0]
        else:
            kam.rpc.call("dispatcher.reload")
            before = wrote
        hand.join()
        now = next(item.flags for item in kam.rpc.dispatcher()[1] if item.uri == _URI)
        lost += now != "DX"
        noticed += now != "DX" and before != wrote
        false_alarms += now == "DX" and before != wrote
        time.sleep(0.005)
    how = "list + reload in one packet" if pipelined else "list, then reload"
    say(f"{how}: {trials} trials, operator's state lost, noticed, false alarms", (lost, noticed, false_alarms))
