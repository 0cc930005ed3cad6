"""The eye of the restart bench: it tells a new instance of Kamailio from what is left of the old one."""

import ctypes
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.pipelines import host
from tests.lab import Fault, LabError, Rpc, Unreachable, uris

WANTED = [f"sip:{host(number)}:5060" for number in range(10)]
"""The list that is right, as memory has it."""
NODE_CFG = "sip_warning=1\n"
"""What has each reply name the process that wrote it: "Noisy feedback" in a Warning [Kamailio core cookbook]."""
_PID = re.compile(rb"\r\nWarning: 392 [^\r]* pid=(\d+) ")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Eye:
    """Asks one Kamailio by SIP and RPC. `leader`: a process of the network and the process numbers that it lives in."""

    def __init__(self, port: int, ctl: Path, leader: int) -> None:
        self._port, self._ctl = port, ctl
        self._proc = Path(f"/proc/{leader}/root/proc")
        self._leader = leader

    def sees_another(self, old: frozenset[int], limit: float) -> float:
        """When (monotonic s) SIP and RPC were answered by no process of `old`, and the list was right."""
        until, by_sip, by_rpc = time.monotonic() + limit, False, False
        with self._client() as client:
            while not (by_sip and by_rpc):
                if time.monotonic() > until:
                    raise LabError(f"cannot see another Kamailio within {limit} s")
                by_sip = by_sip or self._sip(client) not in {0} | old
                by_rpc = by_rpc or self._rpc(old)
                time.sleep(0.001)
        return time.monotonic()

    def processes(self) -> frozenset[int]:
        """Those of the instance whose socket it is, as their own numbers are there. Raises Unreachable."""
        rpc = Rpc(self._ctl, 1.0)
        try:
            return frozenset(value for value in rpc.call("core.ps") if isinstance(value, int))
        finally:
            rpc.close()

    def left_of(self, old: frozenset[int]) -> set[int]:
        """Those that live, by their numbers there."""
        return {pid for pid in old if _lives(self._proc / str(pid))}

    def is_served_by(self, old: frozenset[int]) -> bool:
        """Whether one of them answers one of 20 calls, or RPC."""
        for _ in range(20):
            with self._client() as client:
                if self._sip(client) in old:
                    return True
        with suppress(Unreachable, TimeoutError, Fault):
            return bool(self.processes() & old)
        return False

    def is_well(self) -> bool:
        with self._client() as client:
            return bool(self._sip(client)) and self._rpc(frozenset())

    def _rpc(self, old: frozenset[int]) -> bool:
        """On a new connection each time: a kept one would lead to the old instance for ever."""
        rpc = Rpc(self._ctl, 0.5)
        try:
            found = {value for value in rpc.call("core.ps") if isinstance(value, int)}
            return bool(found) and not found & old and uris(rpc.dispatcher()) == WANTED
        except (Unreachable, TimeoutError, Fault):
            return False
        finally:
            rpc.close()

    @contextmanager
    def _client(self) -> Iterator[socket.socket]:
        with _network_of(self._leader), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.05)
            client.connect(("127.0.0.1", self._port))
            yield client

    def _sip(self, client: socket.socket) -> int:
        """Who answers an OPTIONS; 0 for nobody."""
        own, branch = client.getsockname()[1], time.monotonic_ns()
        lines = [
            f"OPTIONS sip:127.0.0.1:{self._port} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{branch}",
            f"From: <sip:bench@127.0.0.1>;tag={branch}",
            f"To: <sip:127.0.0.1:{self._port}>",
            f"Call-ID: {branch}@bench",
            "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        ]
        try:
            client.send("\r\n".join(lines).encode())
            reply = client.recv(65535)
        except OSError:
            return 0
        if not reply.startswith(b"SIP/2.0 200"):
            return 0
        named = _PID.search(reply)
        if named is None:
            raise LabError(f"cannot tell who answered: {reply!r}")
        return int(named[1])


def _lives(entry: Path) -> bool:
    """Whether this directory of /proc is a process, and no zombie."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def _network_of(pid: int) -> Iterator[None]:
    """Sockets that this thread makes meanwhile are in the network of that process."""
    with open("/proc/thread-self/ns/net") as own, open(f"/proc/{pid}/ns/net") as other:
        _enter(other.fileno())
        try:
            yield
        finally:
            _enter(own.fileno())


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "cannot enter a network namespace; the bench needs root")
