"""A socket in front of Kamailio's ctl: notes each call, and stops in the middle when told to."""

import contextlib
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.rpc import decode


class Relay:
    """`with Relay(kam.ctl, path) as relay:`; `relay.calls` are the requests that were handed on, as [method, *args]."""

    def __init__(self, ctl: Path, path: Path) -> None:
        self.calls: list[list[object]] = []
        self.path = path
        self.stopped = threading.Event()
        """Set while a call waits for `go_on`."""
        self._ctl, self._left, self._drop = str(ctl), -1, False
        self._on = threading.Event()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)

    def stop_after(self, method: str, count: int) -> None:
        """Hand on `count` more calls of this method, and nothing at all from then on."""
        self._on.clear()
        self._method, self._left = method, count

    def go_on(self, drop: bool = False) -> None:
        """`drop`: what waits is not handed on, and its connection ends."""
        self._left, self._drop = -1, drop
        self.stopped.clear()
        self._on.set()

    def made(self, method: str) -> int:
        """How often it was called."""
        return sum(call[0] == method for call in self.calls)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as kamailio, contextlib.suppress(OSError):
            kamailio.connect(self._ctl)
            back = threading.Thread(target=self._pump, args=(kamailio, client), daemon=True)
            back.start()
            pending = b""
            while chunk := client.recv(1 << 16):
                pending += chunk
                while (size := _size(pending)) and len(pending) >= size:
                    self._hand_on(kamailio, pending[:size])
                    pending = pending[size:]
            kamailio.shutdown(socket.SHUT_RDWR)

    def _hand_on(self, kamailio: socket.socket, packet: bytes) -> None:
        call = decode(packet[_body(packet) :])
        if self._left == 0:
            self.stopped.set()
            self._on.wait()
            if self._drop:
                raise ConnectionAbortedError
        elif self._left > 0 and call[0] == self._method:
            self._left -= 1
        kamailio.sendall(packet)
        self.calls.append(call)

    @staticmethod
    def _pump(kamailio: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := kamailio.recv(1 << 16):
                client.sendall(chunk)
            client.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._server.bind(str(self.path))
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on()
        self._server.close()


def _body(packet: bytes) -> int:
    """Where the body begins."""
    return 2 + (packet[1] >> 2 & 3) + 1 + (packet[1] & 3) + 1


def _size(packet: bytes) -> int:
    """Bytes of the first packet, 0 where that cannot be told yet."""
    if len(packet) < 2 or len(packet) < _body(packet):
        return 0
    return _body(packet) + int.from_bytes(packet[2 : 3 + (packet[1] >> 2 & 3)], "big")
