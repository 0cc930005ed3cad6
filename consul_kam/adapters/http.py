"""A small HTTP/1.1 server: GET and HEAD of a few pages, a POST of a small form where those are taken, one request a
connection, answers from any thread.

One thread serves all clients and never waits for one of them, so a slow one holds nobody up; heads, clients and times
are bounded. Nothing is ever looked up: neither who asks nor what we listen at, so a dead resolver stalls nothing.

Against DNS rebinding [a page of a stranger's whose name turns into 127.0.0.1 may read what that browser reaches]: on
loopback only those are served that call us by an IP address, `localhost`, or a name of ours. Elsewhere whoever reaches
us may read all there is, and by which names is not ours to know.
"""

import contextlib
import errno
import queue
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from enum import Enum
from http import HTTPStatus

from consul_kam.adapters import http_wire
from consul_kam.adapters.http_address import Address, listening
from consul_kam.adapters.http_wire import Refused, Request, Response, refusal

MAX_HEAD = 8192
"""Bytes of a request's head."""
MAX_CLIENTS = 64
READ_DEADLINE = 2.0
"""Seconds from connecting until the whole head has to be there."""
WRITE_DEADLINE = 10.0
"""Seconds that a client has for taking its response."""
LINGER = 1.0
"""Seconds that it has for closing afterwards: to close first, with bytes unread, would destroy the response."""
BREATH = 0.05
"""Seconds between two tries to accept where there are no descriptors left."""
NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Make = Callable[[], Response]
Answer = Callable[[Make], None]
"""Has the server's thread make the one response, and send it; from any thread. Further calls do nothing."""
Handle = Callable[[Request, Answer], None]
"""Takes a request; runs in the server's thread and must not block."""
Secure = Callable[[], ssl.SSLContext | None]
"""The TLS context for the next connection; None: there is none yet, and nobody is served."""


class _Stage(Enum):
    READING = "reading"
    ASKED = "asked"
    SENDING = "sending"
    LINGERING = "lingering"


@dataclass(eq=False)
class _Client:
    socket: socket.socket
    until: float
    stage: _Stage = _Stage.READING
    received: bytearray = field(default_factory=bytearray)
    to_send: memoryview = field(default_factory=lambda: memoryview(b""))


class Server:
    """Listens from construction until `close`. Raises CannotListen.

    `names`: by which we may be called on loopback. `deadline`: seconds that `handle` has for an answer; `late` is the
    response where it gives none.
    """

    def __init__(
        self,
        where: Address,
        handle: Handle,
        names: Collection[str],
        deadline: float,
        late: Callable[[Request], Response],
        forms: bool = False,
        secure: Secure | None = None,
    ) -> None:
        self._handle, self._deadline, self._late, self._forms = handle, deadline, late, forms
        self._secure = secure
        self._names = {"localhost", *(name.lower() for name in names)} if where.loopback else None
        self._listener = listening(where, MAX_CLIENTS)
        self.port: int = self._listener.getsockname()[1]
        self._awake, self._waker = socket.socketpair()
        for end in (self._awake, self._waker):
            end.setblocking(False)
        self._answers: queue.SimpleQueue[tuple[_Client, Make] | None] = queue.SimpleQueue()
        self._clients: dict[_Client, Request | None] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._awake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more; what is already answered is still sent where the client takes it at once."""
        self._answers.put(None)
        self._wake()
        self._thread.join()

    def _serve(self) -> None:
        open_ = True
        while open_:
            soonest = min((client.until for client in self._clients), default=None)
            for key, _ in self._selector.select(None if soonest is None else max(0.0, soonest - time.monotonic())):
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._awake:
                    self._awake.recv(4096)
                elif key.data in self._clients:
                    self._advance(key.data)
            open_ = self._take_answers()
            self._expire()
        self._shut()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError as error:  # it has gone again, or there is no room for it
            if error.errno in NO_ROOM and not self._drop_idle():
                time.sleep(BREATH)
            return
        connection.setblocking(False)
        if len(self._clients) >= MAX_CLIENTS and not self._drop_idle():
            connection.close()
            return
        try:
            client = _Client(self._secured(connection), time.monotonic() + READ_DEADLINE)
        except OSError:  # no certificate yet, or it has gone again
            connection.close()
            return
        self._clients[client] = None
        self._selector.register(client.socket, selectors.EVENT_READ, client)

    def _secured(self, connection: socket.socket) -> socket.socket:
        """Where there is TLS, the handshake comes with the first bytes that are read. Raises OSError."""
        if self._secure is None:
            return connection
        context = self._secure()
        if context is None:
            raise OSError(errno.EAGAIN, "there is no certificate yet")
        return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def _advance(self, client: _Client) -> None:
        try:
            if client.stage is _Stage.READING:
                self._read(client)
            elif client.stage is _Stage.SENDING:
                self._write(client)
            elif not client.socket.recv(MAX_HEAD):
                self._drop(client)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._drop(client)

    def _read(self, client: _Client) -> None:
        data = client.socket.recv(MAX_HEAD)
        client.received += data
        if isinstance(client.socket, ssl.SSLSocket):  # what is decrypted already wakes no selector
            while client.socket.pending() and len(client.received) <= MAX_HEAD:
                client.received += client.socket.recv(MAX_HEAD)
        head, end, body = client.received.partition(http_wire.END)
        if end and len(head) <= MAX_HEAD:
            if not self._ask(client, bytes(head), bytes(body)) and not data:
                self._drop(client)
        elif len(client.received) > MAX_HEAD:
            over = f"cannot read the request: its head is over {MAX_HEAD} bytes"
            self._send(client, refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, over))
        elif not data:
            self._drop(client)

    def _ask(self, client: _Client, head: bytes, body: bytes) -> bool:
        """False where the body is not all there yet."""
        try:
            request = http_wire.request(head, self._forms)
            self._admit(request.host)
            if request.method == "POST":
                if len(body) < request.length:
                    return False
                request = replace(request, form=http_wire.form(body[: request.length]))
        except Refused as refused:
            self._send(client, refusal(refused.status, str(refused)))
            return True
        self._selector.unregister(client.socket)
        self._clients[client] = request
        client.stage, client.until = _Stage.ASKED, time.monotonic() + self._deadline
        self._handle(request, lambda make: self._answer(client, make))
        return True

    def _admit(self, host: str) -> None:
        """Raises Refused. No browser leaves Host out."""
        if self._names is not None and host and host not in self._names and not http_wire.is_address(host):
            raise Refused(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"cannot serve host {host}: call this node by its address or by localhost",
            )

    def _answer(self, client: _Client, make: Make) -> None:
        self._answers.put((client, make))
        self._wake()

    def _wake(self) -> None:
        try:
            self._waker.send(b"!")
        except OSError:  # full: it is awake already; closed: nobody is there to be woken
            return

    def _take_answers(self) -> bool:
        """False once the server is to close."""
        open_ = True
        while not self._answers.empty():
            entry = self._answers.get()
            if entry is None:
                open_ = False
            elif entry[0] in self._clients and entry[0].stage is _Stage.ASKED:
                self._send(entry[0], entry[1]())
        return open_

    def _send(self, client: _Client, response: Response) -> None:
        head_only = client.received.startswith(b"HEAD ")
        client.to_send = memoryview(http_wire.written(response, head_only))
        self._to(client, _Stage.SENDING, WRITE_DEADLINE, selectors.EVENT_WRITE)
        self._advance(client)

    def _write(self, client: _Client) -> None:
        client.to_send = client.to_send[client.socket.send(client.to_send) :]
        if not client.to_send:
            if isinstance(client.socket, ssl.SSLSocket):
                with contextlib.suppress(OSError):  # we say that this is the end, and wait for nobody's word
                    client.socket.unwrap()
            client.socket.shutdown(socket.SHUT_WR)
            self._to(client, _Stage.LINGERING, LINGER, selectors.EVENT_READ)

    def _to(self, client: _Client, stage: _Stage, seconds: float, wanted: int) -> None:
        client.stage, client.until = stage, time.monotonic() + seconds
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        self._selector.register(client.socket, wanted, client)

    def _expire(self) -> None:
        now = time.monotonic()
        for client, request in [entry for entry in self._clients.items() if entry[0].until <= now]:
            if client.stage is _Stage.READING:
                late = "cannot read the request: no whole head came in time"
                self._send(client, refusal(HTTPStatus.REQUEST_TIMEOUT, late))
            elif client.stage is _Stage.ASKED and request is not None:
                self._send(client, self._late(request))
            else:
                self._drop(client)

    def _drop_idle(self) -> bool:
        """Close the oldest client that has asked nothing, or has its answer; False where there is none."""
        idle = (_Stage.READING, _Stage.LINGERING)
        found = next((client for client in self._clients if client.stage in idle), None)
        if found is not None:
            self._drop(found)
        return found is not None

    def _drop(self, client: _Client) -> None:
        del self._clients[client]
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        client.socket.close()

    def _shut(self) -> None:
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for each in (self._listener, self._awake, self._waker):
            each.close()
