"""Calls over TLS, by a client of our own: Debian's sipp is built without TLS."""

import itertools
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.lab.tls import anybody

_count = itertools.count(1)


class Cut(Exception):
    """The connection is gone."""


class Phone:
    """One TLS connection to Kamailio, over which calls are made one after the other."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        plain = socket.create_connection(("127.0.0.1", port), 30)
        self._socket = (context or anybody()).wrap_socket(plain, server_hostname="127.0.0.1")
        self._socket.settimeout(30)
        self._received, self.port = b"", port

    def call(self, talk: float = 0.0) -> None:
        """INVITE, 200, ACK, `talk` s, BYE, 200. Raises Cut, AssertionError for another answer."""
        call, via = f"tls-{id(self)}-{next(_count)}", self._socket.getsockname()[1]
        answer = self._ask("INVITE", call, via, 1, "", "")
        to, routes, contact = _dialog(answer)
        self._send("ACK", call, via, 1, to, routes, contact)
        time.sleep(talk)
        self._ask("BYE", call, via, 2, to, routes, contact)

    def options(self) -> None:
        """Kamailio itself answers. Raises Cut, AssertionError."""
        self._ask("OPTIONS", f"tls-{id(self)}-{next(_count)}", self._socket.getsockname()[1], 1, "", "")

    def _ask(self, method: str, call: str, via: int, number: int, to: str, routes: str, uri: str = "") -> str:
        self._send(method, call, via, number, to, routes, uri)
        while True:
            answer = self._answer()
            code = answer.split(" ", 2)[1]
            if not code.startswith("1") and f"CSeq: {number} {method}" in answer and f"Call-ID: {call}" in answer:
                assert code == "200", answer
                return answer

    def _send(self, method: str, call: str, via: int, number: int, to: str, routes: str, uri: str = "") -> None:
        user = "" if method == "OPTIONS" else "callee@"
        lines = [
            f"{method} {uri or f'sip:{user}127.0.0.1:{self.port};transport=tls'} SIP/2.0",
            f"Via: SIP/2.0/TLS 127.0.0.1:{via};branch=z9hG4bK{method}{call}{number};rport",
            *([routes] if routes else []),
            f"From: <sip:caller@127.0.0.1>;tag={call}",
            to or "To: <sip:callee@127.0.0.1>",
            f"Call-ID: {call}",
            f"CSeq: {number} {method}",
            f"Contact: <sip:caller@127.0.0.1:{via};transport=tls>",
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
        ]
        try:
            self._socket.sendall("\r\n".join(lines).encode())
        except OSError as error:
            raise Cut(str(error)) from error

    def _answer(self) -> str:
        while b"\r\n\r\n" not in self._received:
            try:
                data = self._socket.recv(65535)
            except OSError as error:
                raise Cut(str(error)) from error
            if not data:
                raise Cut("Kamailio closed the connection")
            self._received += data
        head, _, self._received = self._received.partition(b"\r\n\r\n")
        return head.decode()

    def close(self) -> None:
        self._socket.close()


def _dialog(answer: str) -> tuple[str, str, str]:
    to = next(line for line in answer.split("\r\n") if line.startswith("To:"))
    routes = [line.partition(":")[2].strip() for line in answer.split("\r\n") if line.startswith("Record-Route:")]
    found = re.search(r"Contact: <([^>]+)>", answer)
    assert found is not None, answer
    each = [one.strip() for line in routes for one in line.split(",")]
    return to, f"Route: {', '.join(reversed(each))}" if each else "", found[1]


@dataclass
class Count:
    done: int = 0
    failed: int = 0


class Phones:
    """In a with block: `lasting` phones that keep their connection, and one that connects anew for each call."""

    def __init__(self, port: int, lasting: int = 3, rate: float = 10.0) -> None:
        """`rate`: calls a second of each."""
        self._port, self._lasting, self._pause = port, lasting, 1 / rate
        self.old, self.new = Count(), Count()
        self.errors: list[str] = []
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._last, args=(number,)) for number in range(lasting)]
        self._threads.append(threading.Thread(target=self._connect))

    @property
    def counted(self) -> tuple[int, int]:
        """Calls, and how many of them failed."""
        done, failed = self.old.done + self.new.done, self.old.failed + self.new.failed
        return done + failed, failed

    def _last(self, number: int) -> None:
        phone = Phone(self._port)
        while not self._ended.wait(self._pause):
            self._one(phone, self.old)
        phone.close()

    def _connect(self) -> None:
        while not self._ended.wait(self._pause):
            phone: Phone | None = None
            try:
                phone = Phone(self._port)
            except OSError as error:
                with self._lock:
                    self.new.failed += 1
                    self.errors.append(f"cannot connect: {error}")
            if phone is not None:
                self._one(phone, self.new)
                phone.close()

    def _one(self, phone: Phone, count: Count) -> None:
        try:
            phone.call(0.05)
        except (Cut, AssertionError, OSError) as error:
            with self._lock:
                count.failed += 1
                self.errors.append(str(error)[:500])
            return
        with self._lock:
            count.done += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
