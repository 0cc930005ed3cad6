"""jsonrpcs over HTTP: xhttp and `jsonrpc_dispatch()` (examples/kamailio-rpc.cfg).

The connection is ours, so that every read keeps the deadline; the standard library's http.client reads the replies: it
is there, knows of no proxy in the environment and follows no redirect, as requests and urllib3 would have to be told.
"""

import http.client
import io
import secrets
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from consul_kam.adapters import rpc_limits
from consul_kam.adapters.jsonrpc_wire import MAX_REPLY, decode_reply, encode_request, members, next_id, shown
from consul_kam.core.ports import Call, Reply, Value, one_after_the_other
from consul_kam.errors import RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_REQUEST: Final = 8_192
"""Bytes; Kamailio drops the connection where head and body are over 16 kB (`tcp_rd_buf_size`)."""
_QUEUED: Final = 32 * 1024
"""Kamailio's default `tcp_conn_wq_max`, bytes: a shorter reply never breaks off over it."""
_PATIENCE = 0.5
_REFUSED = {
    401: "it wants another user and password: see rpc_password_file",
    403: "it is forbidden: does kamailio.cfg allow RPC at this address and port?",
    404: "nothing is at this path: does event_route[xhttp:request] call jsonrpc_dispatch() there?",
}


@dataclass(frozen=True)
class Place:
    """Where xhttp listens. `spec`: as the operator wrote it; `host`: an IP address; `name`: what the certificate says.

    `credentials`: user:password, of no representation. `tls`: with what to check the certificate, None for plain HTTP.
    """

    spec: str
    host: str
    port: int
    path: str
    name: str
    credentials: bytes = b""
    tls: ssl.SSLContext | None = None

    def __repr__(self) -> str:
        return f"Place({self.spec})"

    def request(self, body: bytes) -> bytes:
        """A POST of `body`."""
        host = f"[{self.name}]" if ":" in self.name else self.name
        lines = [f"POST {self.path} HTTP/1.1", f"Host: {host}:{self.port}", "Content-Type: application/json"]
        if self.credentials:
            lines.append(f"Authorization: Basic {b64encode(self.credentials).decode()}")
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Http:
    """The Rpc port over jsonrpcs and HTTP; keeps its connection and makes a new one when Kamailio closed the last.

    `generation` counts connections. A request goes out once. **Several in order are not atomic**: other clients, of
    HTTP or of ctl, come between.
    """

    def __init__(self, place: Place, max_reply: int = MAX_REPLY) -> None:
        """`max_reply`: bytes of a body; a longer one is RpcTooBig."""
        self._place, self._max_reply = place, max_reply
        self._connection: _Connection | None = None
        self._generation = 0
        self._id = secrets.randbits(30)

    @property
    def generation(self) -> int:
        return self._generation

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        return one_after_the_other(self, calls, deadline)

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        until = time.monotonic() + deadline
        ident = self._id = next_id(self._id)
        body = encode_request(method, params, ident)
        if len(body) > MAX_REQUEST:
            raise RpcTooBig(f"cannot {method}: a request of {len(body)} bytes is too long for xhttp: not sent")
        try:
            connection = self._connected(until)
            self._send(connection, body)
            status, reply = self._answer(connection, method, ident)
            return self._read(method, status, reply, ident)
        except RpcFault:
            raise
        except BaseException:
            # What arrives later must never be taken for the answer to the next request.
            self.close()
            raise

    def _connected(self, until: float) -> "_Connection":
        if self._connection is not None and self._connection.idle():
            self._connection.until = until
            return self._connection
        self.close()
        place = self._place
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection((place.host, place.port), timeout=max(0.001, until - time.monotonic()))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if place.tls is not None:
                sock.settimeout(max(0.001, until - time.monotonic()))
                sock = place.tls.wrap_socket(sock, server_hostname=place.name)
        except OSError as error:
            if sock is not None:
                sock.close()
            raise self._unreachable(error) from error
        self._generation += 1
        self._connection = _Connection(sock, until)
        return self._connection

    def _send(self, connection: "_Connection", body: bytes) -> None:
        try:
            connection.send(self._place.request(body))
        except OSError as error:
            raise self._unreachable(error) from error

    def _answer(self, connection: "_Connection", method: str, ident: int) -> tuple[int, bytes]:
        """Status and body of the reply to `ident`.

        xhttp answers nothing at all where a reply is too long for private memory. So in a silence a harmless request
        goes after ours: Kamailio serves one connection in order, and an answer to that one says what happened.
        """
        echoes: list[int] = []

        def echo() -> None:
            self._id = next_id(self._id)
            echoes.append(self._id)
            connection.send(self._place.request(encode_request("core.uptime", (), self._id)))

        connection.in_silence = echo
        status, reply = self._receive(connection, method)
        connection.in_silence = lambda: None
        if members(reply).get("id") in [str(each) for each in echoes]:
            raise RpcTooBig(f"cannot {method}: Kamailio could not send the reply: {rpc_limits.HTTP_PRIVATE}")
        for _ in echoes:
            self._receive(connection, "core.uptime")
        return status, reply

    def _receive(self, connection: "_Connection", method: str) -> tuple[int, bytes]:
        unknown = f"cannot tell whether {method} was carried out"
        response = http.client.HTTPResponse(connection, method="POST")  # type: ignore[arg-type]
        try:
            response.begin()
            announced = response.length or 0
            if announced > self._max_reply:
                raise RpcTooBig(f"cannot {method}: a reply of {announced} bytes is over our limit of {self._max_reply}")
            body = response.read(self._max_reply + 1)
        except TimeoutError as error:
            raise RpcTimeout(f"{unknown}: no whole reply in time") from error
        except http.client.RemoteDisconnected as error:
            raise RpcTimeout(f"{unknown}: Kamailio closed the connection") from error
        except (http.client.HTTPException, ValueError) as error:
            raise RpcMalformed(f"cannot read the reply to {method}: {type(error).__name__}: no HTTP") from error
        except OSError as error:
            raise RpcTimeout(f"{unknown}: {error.strerror or error}") from error
        finally:
            response.close()  # else its end comes after that of what it reads, and Python 3.13 complains on stderr
        if len(body) > self._max_reply:
            raise RpcTooBig(f"cannot {method}: a reply of more than {self._max_reply} bytes is over our limit")
        if len(body) < announced:
            raise self._cut(method, unknown, len(body), announced)
        if response.will_close:
            self.close()
        return response.status, body

    def _cut(self, method: str, unknown: str, came: int, announced: int) -> RpcTooBig | RpcTimeout:
        if announced <= _QUEUED:
            return RpcTimeout(f"{unknown}: Kamailio closed the connection")
        where = f"the reply broke off after {came} of {announced} bytes"
        return RpcTooBig(f"cannot {method}: {where}: unless Kamailio ended just then, {rpc_limits.HTTP_QUEUE}")

    def _read(self, method: str, status: int, body: bytes, ident: int) -> tuple[Value, ...]:
        """A fault comes with its code as the status, and says so in its body."""
        if status == 200 or members(body).get("jsonrpc") == "2.0":
            return decode_reply(method, body, ident)
        if status in _REFUSED:
            raise RpcUnreachable(f"cannot reach Kamailio's RPC at {self._place.spec}: {status}: {_REFUSED[status]}")
        if 300 <= status < 400:
            raise RpcMalformed(f"cannot read the reply to {method}: {status}: we follow no redirect")
        raise RpcMalformed(f"cannot read the reply to {method}: {status} {shown(body)}")

    def _unreachable(self, error: OSError) -> RpcUnreachable:
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is not trusted: {error.verify_message}: see rpc_ca_file"
        else:
            reason = f"{error.strerror or error}: is it up, with xhttp listening?"
        return RpcUnreachable(f"cannot reach Kamailio at {self._place.spec}: {reason}")


class _Connection:
    """A connection as http.client wants it, each of whose reads keeps one deadline."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self.sock, self.until = sock, until
        self.in_silence: Callable[[], None] = lambda: None
        self._file = _KeptOpen(_Reads(self), 256 * 1024)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self._file

    def close(self) -> None:
        self.sock.close()

    def remaining(self) -> float:
        """Seconds, never 0. Raises TimeoutError."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def send(self, request: bytes) -> None:
        """Raises OSError."""
        self.sock.settimeout(self.remaining())
        self.sock.sendall(request)

    def idle(self) -> bool:
        """Whether it still stands and is silent, so that what comes next answers what we send next."""
        secured = isinstance(self.sock, ssl.SSLSocket)
        try:
            self.sock.setblocking(False)
            self.sock.recv(1, 0 if secured else socket.MSG_PEEK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            return False
        return False


class _Reads(io.RawIOBase):
    """The bytes of a connection, until its deadline."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        connection, patience = self._connection, _PATIENCE
        while True:
            left = connection.remaining()
            connection.sock.settimeout(min(left, patience))
            try:
                return connection.sock.recv_into(buffer)
            except TimeoutError:
                if left <= patience:
                    raise
                patience *= 2
                connection.in_silence()


class _KeptOpen(io.BufferedReader):
    """http.client closes its file after each reply; what came of the next one has to stay."""

    def close(self) -> None:
        """Nothing: the connection is closed as a whole."""
