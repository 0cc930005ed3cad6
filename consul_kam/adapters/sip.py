"""OPTIONS over UDP and TCP, as a client of RFC 3261 sends it: whoever gives a final response is there."""

import contextlib
import os
import re
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Sequence

from consul_kam.adapters.endpoint import Endpoint
from consul_kam.core.world import SipReply

T1, T2 = 0.5, 4.0
"""Seconds: first and longest time between two retransmissions over UDP (RFC 3261, 17.1.2.2, timer E)."""
LARGEST = 65_536
"""Bytes of a response over TCP."""
_MAGIC = "z9hG4bK"
"""Of a branch that is unique (RFC 3261, 8.1.1.7)."""
_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ")


def options(endpoints: Sequence[str], timeout: float) -> dict[str, SipReply]:
    """One OPTIONS to each of `udp:HOST:PORT` and `tcp:HOST:PORT`, at the same time, within `timeout` s. Raises nothing.

    Any final response to it is an answer. A HOST that is a name is looked up first, which has no deadline.
    """
    until = time.monotonic() + timeout
    asked = {endpoint: _Transaction(endpoint) for endpoint in endpoints}
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for one in asked.values():
            stack.callback(one.close)
            one.guarded(one.open)
        while waiting := [one for one in asked.values() if one.reply is None]:
            now = time.monotonic()
            if now >= until:
                break
            for one in waiting:
                one.watch(selector)
            for key, _ in selector.select(min(until, *(one.resend_at for one in waiting)) - now):
                key.data.guarded(key.data.ready)
            for one in waiting:
                one.unwatch(selector)
                one.guarded(one.resend)
    silence = SipReply(0, f"no final response within {timeout:g} s")
    return {endpoint: one.reply or silence for endpoint, one in asked.items()}


class _Transaction:
    """One request to one endpoint. `reply` None: none yet."""

    def __init__(self, endpoint: str) -> None:
        self.reply: SipReply | None = None
        self.resend_at = float("inf")
        """Monotonic s; only over UDP."""
        self._to = Endpoint.parse(endpoint)
        self._branch = _MAGIC + secrets.token_hex(12)
        self._interval, self._request, self._received = T1, b"", b""
        self._connecting = False
        self._socket: socket.socket | None = None

    def guarded(self, do: Callable[[], None]) -> None:
        """Call one of the methods; an OSError is the end of the transaction (RFC 3261, 17.1.4)."""
        if self.reply is None:
            try:
                do()
            except OSError as error:
                self.reply = SipReply(0, f"cannot reach it: {error.strerror or error}")

    def open(self) -> None:
        family, address = self._to.resolve()
        self._socket = socket.socket(family, self._to.kind)
        self._socket.setblocking(False)
        self._connecting = self._to.stream
        with contextlib.suppress(BlockingIOError):
            self._socket.connect(address)
        self._request = self._compose(self._socket.getsockname())
        if not self._to.stream:
            self._send()

    def watch(self, selector: selectors.BaseSelector) -> None:
        assert self._socket is not None
        event = selectors.EVENT_WRITE if self._connecting else selectors.EVENT_READ
        selector.register(self._socket, event, self)

    def unwatch(self, selector: selectors.BaseSelector) -> None:
        assert self._socket is not None
        selector.unregister(self._socket)

    def ready(self) -> None:
        """Connected, or something came."""
        assert self._socket is not None
        if self._connecting:
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                raise OSError(error, os.strerror(error))
            self._connecting = False
            self._socket.send(self._request)
            return
        data = self._socket.recv(LARGEST)
        if not self._to.stream:
            self._read(data)
        elif not data or len(self._received) > LARGEST:
            did = "sent much and no" if data else "ended the connection without a"
            self.reply = SipReply(0, f"it {did} final response")
        else:
            self._received += data
            while b"\r\n\r\n" in self._received and self.reply is None:
                head, _, self._received = self._received.partition(b"\r\n\r\n")
                self._read(head)

    def resend(self) -> None:
        now = time.monotonic()
        if now >= self.resend_at:
            self._interval = min(2 * self._interval, T2)
            self._send()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _send(self) -> None:
        assert self._socket is not None
        self._socket.send(self._request)
        self.resend_at = time.monotonic() + self._interval

    def _read(self, data: bytes) -> None:
        """One message; only a response to this request counts (RFC 3261, 17.1.3: branch, and method in CSeq)."""
        status = _STATUS.match(data)
        head = data.partition(b"\r\n\r\n")[0]
        if status is None or self._branch.encode() not in head or not re.search(rb"(?mi)^cseq\s*:.*OPTIONS\s*$", head):
            return
        if int(status[1]) >= 200:
            self.reply = SipReply(int(status[1]))
        elif not self._to.stream:
            self._interval = T2  # provisional: "Proceeding" (17.1.2.2)

    def _compose(self, local: tuple[str, int]) -> bytes:
        own = f"[{local[0]}]" if ":" in local[0] else local[0]
        transport = "TCP" if self._to.stream else "UDP"
        target = f"sip:{self._to.authority}" + (";transport=tcp" if self._to.stream else "")
        lines = [
            f"OPTIONS {target} SIP/2.0",
            f"Via: SIP/2.0/{transport} {own}:{local[1]};branch={self._branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:consul_kam@{own}>;tag={secrets.token_hex(6)}",
            f"To: <sip:{self._to.authority}>",
            f"Call-ID: {secrets.token_hex(12)}@consul_kam",
            "CSeq: 1 OPTIONS",
            "Accept: application/sdp",
            "User-Agent: consul_kam",
            "Content-Length: 0",
        ]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()
