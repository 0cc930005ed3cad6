"""binrpc over Kamailio's ctl socket: unix stream, TCP or UDP. [src/modules/ctl]

binrpc has no authentication: whoever reaches the socket commands Kamailio. TCP and UDP belong on loopback.

A request goes out at most once. What breaks before it was handed over whole is RpcUnreachable (ctl runs whole packets
only); what breaks after is RpcTimeout: nobody can tell whether it was carried out.
"""

import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from consul_kam.adapters import rpc_limits
from consul_kam.adapters.binrpc_wire import FAULT, Decoder, Header, decode_header, encode_request
from consul_kam.core.ports import Call, Reply, Value, one_after_the_other
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
        (reply,) = self._run([(method, params)], deadline)
        if isinstance(reply, RpcError):
            raise reply
        return reply

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        if self._address.kind == socket.SOCK_DGRAM:
            return one_after_the_other(self, calls, deadline)
        return self._run(calls, deadline)

    def _run(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        until = time.monotonic() + deadline
        try:
            return self._exchange(self._connected(until), calls, until)
        except BaseException:
            # What arrives later must never be taken for the answer to the next request.
            self.close()
            raise

    def _connected(self, until: float) -> socket.socket:
        if self._socket is not None and _idle(self._socket):
            return self._socket
        self.close()
        try:
            sock = socket.socket(self._address.family, self._address.kind)
        except OSError as error:  # out of file descriptors
            raise self._unreachable(error) from error
        try:
            sock.settimeout(_remaining(until))
            sock.connect(self._address.target)
        except OSError as error:
            sock.close()
            raise self._unreachable(error) from error
        self._generation += 1
        self._socket = sock
        return sock

    def _exchange(self, sock: socket.socket, calls: Sequence[Call], until: float) -> list[Reply]:
        cookies = [(self._cookie + 2 + 2 * index) & 0x7FFFFFFE for index in range(len(calls))]
        requests = [encode_request(*call, cookie) for call, cookie in zip(calls, cookies, strict=True)]
        try:
            sock.settimeout(_remaining(until))
            sock.sendall(b"".join(requests))
            self._cookie = cookies[0]
            if sock.type == socket.SOCK_DGRAM:
                sock.sendall(self._echo())
        except OSError as error:
            raise self._unreachable(error) from error
        replies: list[Reply] = []
        stream = bytearray()
        for (method, params), self._cookie in zip(calls, cookies, strict=True):
            header, body = self._answer(sock, method, stream, until)
            # While this reply is decoded, Kamailio works at the next.
            replies.append(self._reply(method, params, header, body))
        if stream:
            raise RpcMalformed(f"cannot read the reply to {calls[-1][0]}: {len(stream)} bytes too many")
        return replies

    def _reply(self, method: str, params: tuple[str | int, ...], header: Header, body: bytes) -> Reply:
        try:
            reply = self._decoder.decode(method, body, params)
            if header.kind == FAULT:
                return _fault(method, reply)
            rpc_limits.check_whole(method, reply)
        except (RpcMalformed, RpcTooBig) as error:
            return error
        return reply

    def _answer(self, sock: socket.socket, method: str, stream: bytearray, until: float) -> tuple[Header, bytes]:
        try:
            if sock.type == socket.SOCK_DGRAM:
                return self._receive_datagrams(sock, method, until)
            return self._receive(sock, method, stream, until)
        except TimeoutError as error:
            raise RpcTimeout(f"cannot tell whether {method} was carried out: no whole reply in time") from error
        except OSError as error:
            raise RpcTimeout(f"cannot tell whether {method} was carried out: {error.strerror or error}") from error

    def _receive(self, sock: socket.socket, method: str, packet: bytearray, until: float) -> tuple[Header, bytes]:
        """The next reply of the stream; what has come of those behind it is left in `packet`."""
        while (header := decode_header(packet)) is None or len(packet) < self._checked(header, method):
            sock.settimeout(_remaining(until))
            chunk = sock.recv(_CHUNK)
            if not chunk:
                raise RpcTimeout(f"cannot tell whether {method} was carried out: Kamailio closed the connection")
            packet += chunk
        body = bytes(memoryview(packet)[header.body : header.size])
        del packet[: header.size]
        return header, body

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
        reason, hint = error.strerror or str(error), "is it up, with ctl listening?"
        if isinstance(error, PermissionError):
            hint = "be root or the user that owns it, which is mostly Kamailio's"
        return RpcUnreachable(f"cannot reach Kamailio at {self._address.spec}: {reason}: {hint}")


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
        case (str(code), str(reason)) if rpc_limits.CODE.fullmatch(code):
            return rpc_limits.fault(method, int(code), reason)
    return RpcMalformed(f"cannot read the fault of {method}: it is no code and reason")
