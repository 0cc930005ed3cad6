"""binrpc over Kamailio's ctl socket: unix stream, TCP or UDP. [src/modules/ctl]

binrpc has no authentication: whoever reaches the socket commands Kamailio. TCP and UDP belong on loopback.

A request goes out at most once. What breaks before it was handed over whole is RpcUnreachable (ctl runs whole packets
only); what breaks after is RpcTimeout: nobody can tell whether it was carried out.
"""

import random
import socket
import time
from dataclasses import dataclass
from typing import Final

from consul_kam.adapters import rpc_limits
from consul_kam.adapters.binrpc_wire import FAULT, Decoder, Header, decode_header, encode_request
from consul_kam.core.ports import Value
from consul_kam.errors import RpcError, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

MAX_REPLY: Final = 64 * 1024 * 1024
_CHUNK = 256 * 1024


@dataclass(frozen=True)
class Address:
    """Where ctl listens. `spec`: as the operator wrote it; `target`: what `socket.connect` takes."""

    spec: str
    family: socket.AddressFamily
    kind: socket.SocketKind
    target: str | tuple[str, int]


class BinRpc:
    """The Rpc port over binrpc; keeps its connection and makes a new one when Kamailio closed the last.

    `generation` counts connections. Over UDP there is none, so a restart shows there only if a call met it.
    """

    def __init__(self, address: Address, max_reply: int = MAX_REPLY) -> None:
        """`max_reply`: bytes; a longer reply is RpcTooBig."""
        self._address, self._max_reply = address, max_reply
        self._socket: socket.socket | None = None
        self._generation = 0
        self._cookie = random.getrandbits(31)
        self._decoder = Decoder()

    @property
    def generation(self) -> int:
        return self._generation

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        until = time.monotonic() + deadline
        try:
            sock = self._connected(until)
            header, body = self._exchange(sock, method, params, until)
            reply = self._decoder.decode(method, body)
        except BaseException:
            # What arrives later must never be taken for the answer to the next request.
            self.close()
            raise
        if header.kind == FAULT:
            raise _fault(method, reply)
        rpc_limits.check_whole(method, reply)
        return reply

    def _connected(self, until: float) -> socket.socket:
        if self._socket is not None and _idle(self._socket):
            return self._socket
        self.close()
        sock = socket.socket(self._address.family, self._address.kind)
        try:
            sock.settimeout(_remaining(until))
            sock.connect(self._address.target)
        except OSError as error:
            sock.close()
            raise self._unreachable(error) from error
        self._generation += 1
        self._socket = sock
        return sock

    def _exchange(
        self, sock: socket.socket, method: str, params: tuple[str | int, ...], until: float
    ) -> tuple[Header, bytes]:
        self._cookie = (self._cookie + 2) & 0x7FFFFFFE
        request = encode_request(method, params, self._cookie)
        datagrams = self._address.kind == socket.SOCK_DGRAM
        try:
            sock.settimeout(_remaining(until))
            sock.sendall(request)
            if datagrams:
                sock.sendall(self._echo())
        except OSError as error:
            raise self._unreachable(error) from error
        try:
            return (self._receive_datagrams if datagrams else self._receive)(sock, method, until)
        except TimeoutError as error:
            raise RpcTimeout(f"cannot tell whether {method} was carried out: no whole reply in time") from error
        except OSError as error:
            raise RpcTimeout(f"cannot tell whether {method} was carried out: {error.strerror or error}") from error

    def _receive(self, sock: socket.socket, method: str, until: float) -> tuple[Header, bytes]:
        packet, header, size = bytearray(), None, self._max_reply
        while header is None or len(packet) < size:
            sock.settimeout(_remaining(until))
            chunk = sock.recv(_CHUNK)
            if not chunk:
                raise RpcTimeout(f"cannot tell whether {method} was carried out: Kamailio closed the connection")
            packet += chunk
            if header is None and (header := decode_header(packet)) is not None:
                size = self._checked(header, method)
        if len(packet) > size:
            raise RpcMalformed(f"cannot read the reply to {method}: {len(packet) - size} bytes too many")
        return header, bytes(memoryview(packet)[header.body :])

    def _echo(self) -> bytes:
        """A harmless second request behind one over UDP.

        ctl answers in order, and spreads a long reply over datagrams of which the kernel may lose some (5.6.3: from
        some 64 kB on) without a word. An answer to this one before the whole reply says that this is what happened.
        """
        return encode_request("core.uptime", (), self._cookie + 1)

    def _receive_datagrams(self, sock: socket.socket, method: str, until: float) -> tuple[Header, bytes]:
        packet, header, patience = b"", None, 0.1
        while header is None or len(packet) < header.size:
            sock.settimeout(min(_remaining(until), patience))
            try:
                part = sock.recv(65_536)
            except TimeoutError:
                patience *= 2
                sock.settimeout(_remaining(until))
                sock.sendall(self._echo())
                continue
            if _cookie(part) == self._cookie + 1:
                raise RpcTooBig(f'cannot {method}: the reply is too long for udp: use rpc = "unix:PATH"')
            if header is not None:
                packet += part
            elif (late := decode_header(part)) is None or late.cookie == self._cookie:
                packet, header = part, late
                if header is None:
                    raise RpcMalformed(f"cannot read the reply to {method}: a datagram of {len(part)} bytes")
                self._checked(header, method)
        if len(packet) > header.size:
            raise RpcMalformed(f"cannot read the reply to {method}: {len(packet) - header.size} bytes too many")
        return header, packet[header.body :]

    def _checked(self, header: Header, method: str) -> int:
        """The size of the packet, in bytes."""
        if header.cookie != self._cookie:
            raise RpcMalformed(f"cannot read the reply to {method}: it answers another request")
        if header.size > self._max_reply:
            raise RpcTooBig(f"cannot {method}: a reply of {header.size} bytes is over our limit of {self._max_reply}")
        return header.size

    def _unreachable(self, error: OSError) -> RpcUnreachable:
        reason = error.strerror or str(error)
        return RpcUnreachable(f"cannot reach Kamailio at {self._address.spec}: {reason}: is it up, with ctl listening?")


def _cookie(datagram: bytes) -> int:
    """The cookie of a datagram that is one whole packet; else -1."""
    try:
        header = decode_header(datagram)
    except RpcMalformed:
        return -1
    return header.cookie if header is not None and header.size == len(datagram) else -1


def _idle(sock: socket.socket) -> bool:
    """Whether the connection still stands and is silent, so that what comes next answers what we send next."""
    if sock.type == socket.SOCK_DGRAM:
        return True
    try:
        sock.setblocking(False)
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remaining(until: float) -> float:
    """Seconds, never 0 (which would mean "do not block"). Raises TimeoutError."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _fault(method: str, reply: tuple[Value, ...]) -> RpcError:
    match reply:
        case (str(code), str(reason)) if code.lstrip("-").isdecimal():
            return rpc_limits.fault(method, int(code), reason)
    return RpcMalformed(f"cannot read the fault of {method}: it is no code and reason")
