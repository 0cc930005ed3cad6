"""SIP on loopback: an answering side (a thread) and sipp as the calling side."""

import csv
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from tests.lab.ports import free_port
from tests.lab.process import LabError, Process, wait_for

_SCENARIO = Path(__file__).with_name("uac.xml")
_COPIED = {"via", "v", "from", "f", "call-id", "i", "cseq", "record-route"}


class Uas:
    """Answers OPTIONS, INVITE and BYE at once; `silent = True` makes it swallow everything, `status` another reply.

    `requests` counts by method (retransmissions included), `calls` the different Call-IDs of INVITEs.
    """

    address = "127.0.0.1"

    def __init__(self, port: int | None = None) -> None:
        self.port = port if port is not None else free_port()
        self.silent = False
        self.status = "200 OK"  # for everything but ACK
        self.options_status = "200 OK"
        self.requests: Counter[str] = Counter()
        self._calls: set[str] = set()
        self._socket = self._open()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((self.address, self.port))
        self._thread = threading.Thread(target=self._serve, name=f"uas-{self.port}", daemon=True)
        self._thread.start()

    @property
    def uri(self) -> str:
        return f"sip:{self.address}:{self.port}"

    def _open(self) -> socket.socket:
        """Where it lives; another network namespace has sockets of its own."""
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def calls(self) -> int:
        return len(self._calls)

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(65535)
            except OSError:
                return
            if not data:
                return
            reply = self._answer(data.decode("latin-1"))
            if reply is not None:
                self._socket.sendto(reply.encode("latin-1"), peer)

    def _answer(self, text: str) -> str | None:
        head = text.split("\r\n\r\n", 1)[0].split("\r\n")
        method = head[0].split(" ", 1)[0]
        if method.startswith("SIP/"):
            return None
        self.requests[method] += 1
        if method == "INVITE":
            self._calls.update(
                line.split(":", 1)[1].strip() for line in head[1:] if line.lower().startswith("call-id:")
            )
        if self.silent or method == "ACK":
            return None
        lines = [f"SIP/2.0 {self.options_status if method == 'OPTIONS' else self.status}"]
        for header in head[1:]:
            name = header.split(":", 1)[0].strip().lower()
            if name in _COPIED:
                lines.append(header)
            elif name in ("to", "t"):
                lines.append(header if "tag=" in header else f"{header};tag=u{self.port}")
        return "\r\n".join([*lines, f"Contact: <{self.uri}>", "Content-Length: 0", "", ""])

    def close(self) -> None:
        """Give the port back; nothing answers there from now on."""
        # an empty datagram wakes the thread: closing a socket does not interrupt recvfrom
        with self._open() as waker:
            waker.sendto(b"", (self.address, self.port))
        self._thread.join(5)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Calls(NamedTuple):
    """What sipp counted so far."""

    created: int
    successful: int
    failed: int
    retransmissions: int


class Sipp:
    """Background calls through `target_port`: `rate` a second, `calls` in all, each `duration` ms long.

    `between`: its own address and that of the target; `enter`: what starts a program where they are.
    """

    def __init__(
        self,
        directory: Path,
        target_port: int,
        rate: int,
        calls: int,
        duration: int = 100,
        scenario: Path = _SCENARIO,
        *more: str,
        between: tuple[str, str] = ("127.0.0.1", "127.0.0.1"),
        enter: Sequence[str] = (),
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        number = free_port()
        self._stats = directory / f"sipp-{number}.csv"
        self._errors = directory / f"sipp-{number}.err"
        self.log = directory / f"sipp-{number}.log"
        argv: list[str | Path] = [
            *enter,
            "sipp",
            f"{between[1]}:{target_port}",
            "-sf",
            scenario,
            "-i",
            between[0],
            "-p",
            str(number),
            "-r",
            str(rate),
        ]
        argv += ["-m", str(calls), "-d", str(duration), "-l", str(max(100, rate * 40)), "-nostdin", *more]
        argv += ["-trace_stat", "-stf", self._stats, "-fd", "1", "-trace_err", "-error_file", self._errors]
        self._process = Process(argv, self.log, cwd=directory, env={"TERM": os.environ.get("TERM", "dumb")})

    def running(self) -> bool:
        return self._process.alive()

    def stats(self) -> Calls:
        """The newest line of sipp's statistics (one a second); zeros before the first."""
        try:
            with self._stats.open(newline="") as file:
                rows = list(csv.DictReader(file, delimiter=";"))
        except FileNotFoundError:
            rows = []
        if not rows:
            return Calls(0, 0, 0, 0)
        names = ["TotalCallCreated", "SuccessfulCall(C)", "FailedCall(C)", "Retransmissions(C)"]
        return Calls(*(int(rows[-1].get(name) or 0) for name in names))

    def wait(self, timeout: float) -> Calls:
        """Until all calls are over (LabError after `timeout` s); sipp ends with 0 or 1 (some failed)."""
        wait_for("sipp's end", lambda: not self._process.alive(), timeout, self.log, every=0.05)
        if self._process.returncode() not in (0, 1):
            raise LabError(f"cannot call with sipp: it ended with {self._process.returncode()}, see {self.log}")
        return self.stats()

    def quit(self) -> None:
        """No further calls; it ends once those that are up have ended."""
        os.kill(self._process.pid, signal.SIGUSR1)

    def kill9(self) -> None:
        """Gone at once, and its calls stay up."""
        self._process.kill_group()
        self._process.wait(5)

    def errors(self) -> str:
        """sipp's own account of the unexpected messages."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def stop(self) -> None:
        self._process.stop(10)  # SIGUSR1 ends it gracefully; the rest by SIGKILL

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
