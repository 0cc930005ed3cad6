"""The control socket: one JSON object per line in, one out, then the connection is closed.

Requests are {"do": VERB, ...}; replies {"ok": true, ...} or {"ok": false, "error": "cannot ..."}. One thread serves all
clients without ever blocking on one of them. Who holds the flock beside the socket is the one that listens, so a dead
engine's socket is replaced and a live one's never is. The socket has mode 0600; both ends ask the kernel besides who is
at the other one: the engine serves root and its own user, a client believes nobody else than those of trust.may_serve.
"""

import fcntl
import json
import os
import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consul_kam.adapters import control_wire, trust
from consul_kam.errors import ConsulKamError

MAX_REQUEST = 64 * 1024
"""Bytes of one request, its newline included."""
MAX_REPLY = 256 * 1024 * 1024
"""Bytes that a client takes."""
MAX_CLIENTS = 64
READ_DEADLINE = 2.0
"""Seconds from connecting until the whole request has to be there."""
ANSWER_DEADLINE = 60.0
"""Seconds that the engine has for a reply."""
WRITE_DEADLINE = 10.0
"""Seconds that a client has for taking its reply."""

Reply = Callable[[Mapping[str, object]], None]
"""Sends the one reply; from any thread. Further calls do nothing."""
Handle = Callable[[dict[str, object], Reply], None]
"""Takes a request, which has a "do"; runs in the server's thread and must not block."""


class ControlUnreachable(ConsulKamError):
    """No engine answers at the control socket (exit code 3)."""


class ControlTaken(ConsulKamError):
    """Another engine listens at the control socket."""


@dataclass(eq=False)
class _Client:
    socket: socket.socket
    until: float
    uid: int
    received: bytearray = field(default_factory=bytearray)
    to_send: memoryview | None = None
    as_text: bool = False
    asked: bool = False

    def written(self, reply: Mapping[str, object]) -> bytes:
        return control_wire.as_text(reply) if self.as_text else control_wire.as_json(reply)


class Server:
    """Listens from construction until `close`. Raises ControlTaken, OSError."""

    def __init__(self, path: Path, handle: Handle) -> None:
        self._path, self._handle = path, handle
        trust.make_directory(path.parent, 0o700)
        self._served = trust.trusted()
        self._lock = _locked(path.with_name(path.name + ".lock"), path)
        self._listener = _listening(path)
        self._awake, self._waker = socket.socketpair()
        for end in (self._awake, self._waker):
            end.setblocking(False)
        self._replies: queue.SimpleQueue[tuple[_Client, bytes] | None] = queue.SimpleQueue()
        self._clients: list[_Client] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._awake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the socket away; replies that are already made are still sent where the client takes them at once."""
        self._replies.put(None)
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
            open_ = self._take_replies()
            self._expire()
        self._shut()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it has gone again, or we are out of descriptors: the oldest idle client gives way
            self._drop_idle()
            return
        connection.setblocking(False)
        if len(self._clients) >= MAX_CLIENTS and not self._drop_idle():
            connection.close()
            return
        client = _Client(connection, time.monotonic() + READ_DEADLINE, trust.peer(connection)[0])
        self._clients.append(client)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _advance(self, client: _Client) -> None:
        try:
            if client.to_send is None:
                self._read(client)
            else:
                client.to_send = client.to_send[client.socket.send(client.to_send) :]
                if not client.to_send:
                    self._drop(client)
        except BlockingIOError:
            return
        except OSError:
            self._drop(client)

    def _read(self, client: _Client) -> None:
        data = client.socket.recv(MAX_REQUEST)
        client.received += data
        line, newline, _ = client.received.partition(b"\n")
        if newline and len(line) < MAX_REQUEST:
            self._ask(client, bytes(line))
        elif len(client.received) >= MAX_REQUEST:
            self._refuse(client, f"cannot read the request: over {MAX_REQUEST} bytes")
        elif not data:
            self._drop(client)

    def _ask(self, client: _Client, line: bytes) -> None:
        self._selector.unregister(client.socket)
        client.asked, client.until = True, time.monotonic() + ANSWER_DEADLINE
        if client.uid not in self._served:
            self._refuse(client, f"cannot serve user id {client.uid}: ask as root or as user id {os.geteuid()}")
            return
        try:
            request = control_wire.request(line)
            client.as_text = request.get("as") == "text"
            self._handle(request, lambda reply: self._answer(client, reply))
        except ConsulKamError as error:
            self._refuse(client, str(error))

    def _answer(self, client: _Client, reply: Mapping[str, object]) -> None:
        self._replies.put((client, client.written(reply)))
        self._wake()

    def _refuse(self, client: _Client, error: str) -> None:
        self._send(client, client.written({"ok": False, "error": error}))

    def _wake(self) -> None:
        try:
            self._waker.send(b"!")
        except OSError:  # full: it is awake already; closed: nobody is there to be woken
            return

    def _take_replies(self) -> bool:
        """False once the server is to close."""
        open_ = True
        while not self._replies.empty():
            entry = self._replies.get()
            if entry is None:
                open_ = False
            elif entry[0] in self._clients and entry[0].to_send is None:
                self._send(*entry)
        return open_

    def _send(self, client: _Client, reply: bytes) -> None:
        client.asked, client.to_send, client.until = True, memoryview(reply), time.monotonic() + WRITE_DEADLINE
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        self._selector.register(client.socket, selectors.EVENT_WRITE, client)
        self._advance(client)

    def _expire(self) -> None:
        now = time.monotonic()
        for client in [client for client in self._clients if client.until <= now]:
            if client.to_send is None:
                what = "the engine gave no answer" if client.asked else "no whole line came"
                self._refuse(client, f"cannot go on with the request: {what} in time")
            else:
                self._drop(client)

    def _drop_idle(self) -> bool:
        """Close the oldest client that has not asked anything yet; False where there is none."""
        idle = next((client for client in self._clients if not client.asked), None)
        if idle is not None:
            self._drop(idle)
        return idle is not None

    def _drop(self, client: _Client) -> None:
        self._clients.remove(client)
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        client.socket.close()

    def _shut(self) -> None:
        self._path.unlink(missing_ok=True)
        for client in list(self._clients):
            self._drop(client)
        self._selector.close()
        for each in (self._listener, self._awake, self._waker):
            each.close()
        os.close(self._lock)


def ask(path: Path, request: Mapping[str, object], deadline: float) -> dict[str, object]:
    """The engine's reply. `deadline`: seconds for all of it. Raises ControlUnreachable."""
    until = time.monotonic() + deadline
    received = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(deadline)
            _connect(connection, path, until)
            uid, _ = trust.peer(connection)
            if not trust.may_serve(uid, path.parent):
                raise ControlUnreachable(f"cannot trust {path}: user id {uid} listens there, who is not the engine's")
            connection.sendall(json.dumps(request).encode() + b"\n")
            while len(received) <= MAX_REPLY:
                connection.settimeout(max(0.001, until - time.monotonic()))
                data = connection.recv(1 << 18)
                if not data:
                    break
                received += data
        reply = json.loads(received)
    except TimeoutError:
        raise ControlUnreachable(f"cannot get an answer from {path}: none came within {deadline:g} s") from None
    except OSError as error:
        cure = "start one with `consul-kam run`, or name its state directory"
        raise ControlUnreachable(f"cannot reach an engine at {path}: {error.strerror or error}; {cure}") from None
    except (ValueError, RecursionError):
        raise ControlUnreachable(f"cannot use the answer from {path}: it is no JSON") from None
    if not isinstance(reply, dict):
        raise ControlUnreachable(f"cannot use the answer from {path}: it is no object")
    return reply


def _connect(connection: socket.socket, path: Path, until: float) -> None:
    """Linux refuses at once, with EAGAIN, where the listener's queue is full: its timeout is not for that."""
    while True:
        try:
            connection.connect(str(path))
        except BlockingIOError:
            if time.monotonic() >= until:
                raise TimeoutError from None
            time.sleep(0.005)
        else:
            return


def _locked(lock: Path, path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(lock, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise ControlTaken(f"cannot listen at {path}: another engine does, see `consul-kam status`") from None
    return descriptor


def _listening(path: Path) -> socket.socket:
    """A socket that is ready before its name is there, so that a client meets a live one or none."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchmod(listener.fileno(), 0o600)  # before anybody sees it, whatever the umask
    try:
        listener.bind(str(new))
    except OSError as error:  # "AF_UNIX path too long" has no errno
        listener.close()
        raise OSError(error.errno, f"{error.strerror or error}: choose a shorter [node] state_dir", str(path)) from None
    listener.listen(1024)
    listener.setblocking(False)
    new.rename(path)
    return listener
