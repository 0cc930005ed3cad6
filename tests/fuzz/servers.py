"""Hostile ends: an input says what they answer, and how.

Its first byte is how: FRAMED, DRIPPED, ENDLESS, OPEN; the rest is what. `@ID@` in it becomes the id of the request.
"""

import contextlib
import os
import re
import select
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from consul_kam.adapters.binrpc_wire import encode_packet

FRAMED = 1
"""With a header that is right."""
DRIPPED = 2
"""In pieces of a few bytes."""
ENDLESS = 4
"""Again and again: until the other end has enough, or four times what it should take went out."""
OPEN = 8
"""The connection stays open: nothing more comes."""
FAULT = 16
"""binrpc: a fault."""
DEADLINE = 0.03
"""Seconds that the client gives it."""
MOST = 2**20
"""Bytes of a reply that the client takes."""

Frame = Callable[[int, bytes, bytes], bytes]
"""(how, request, what) -> what goes out."""


class Server:
    """Serves one client after another on a thread of its own."""

    def __init__(self, family: socket.AddressFamily, place: str | tuple[str, int], frame: Frame) -> None:
        self.script = b""
        self._frame = frame
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.bind(place)
        self._listener.listen(64)
        self.place = self._listener.getsockname()
        threading.Thread(target=self._serve, name="hostile", daemon=True).start()

    def _serve(self) -> None:
        while True:
            client, _ = self._listener.accept()
            client.settimeout(1.0)
            with contextlib.suppress(OSError), client:
                self._answer(client, *parts(self.script))

    def _answer(self, client: socket.socket, how: int, what: bytes) -> None:
        request = client.recv(1 << 16)
        out = self._frame(how, request, what.replace(b"@ID@", _id(request)))
        send(client.sendall, how, out)
        if how & OPEN:
            while client.recv(1 << 16):  # until the other end has gone; what more it asks is not heard
                pass
        else:
            client.shutdown(socket.SHUT_WR)
            client.recv(1 << 16)


def parts(script: bytes) -> tuple[int, bytes]:
    """How, and what. Most inputs should cost no waiting, so a byte that is no sum of the above is FRAMED."""
    how = script[0] if script else 0
    return (how if how < 2 * FAULT else FRAMED), script[1:]


def send(write: Callable[[bytes], object], how: int, out: bytes) -> None:
    """Raises OSError once the other end has gone."""
    size = 3 if how & DRIPPED and len(out) < 300 else 1 << 16
    times = 4 * MOST // len(out) + 1 if how & ENDLESS and out else 1
    if times > 1:
        many = max(1, size // len(out))
        out, times = out * many, times // many + 1
    for _ in range(times):
        for at in range(0, len(out), size):
            write(out[at : at + size])


def _id(request: bytes) -> bytes:
    found = re.search(rb'"id": ?(\d+)', request)
    return found[1] if found else b"0"


def binrpc(how: int, request: bytes, what: bytes) -> bytes:
    """A reply with the right cookie to each request, or anything."""
    if not how & FRAMED:
        return request[:10] + what if how & FAULT else what
    replies = []
    while len(request) >= 10:
        replies.append(encode_packet(3 if how & FAULT else 1, int.from_bytes(request[6:10]), what))
        request = request[10 + int.from_bytes(request[2:6]) :]
    return b"".join(replies)


def http(how: int, request: bytes, what: bytes) -> bytes:
    """An answer of HTTP with a right head, or anything. X-Consul-Results-Filtered-By-ACLs tells that there is more."""
    if not how & FRAMED:
        return what
    head = f"HTTP/1.1 200 OK\r\nX-Consul-Results-Filtered-By-ACLs: true\r\nContent-Length: {len(what)}\r\n\r\n"
    return head.encode() + what


def plain(how: int, request: bytes, what: bytes) -> bytes:
    """As it is."""
    return what


class FifoServer:
    """Somebody who reads a FIFO in Kamailio's place."""

    def __init__(self, path: Path, reply_dir: Path) -> None:
        self.script = b""
        self.path, self.reply_dir = path, reply_dir
        os.mkfifo(path)
        self._opened = threading.Event()
        threading.Thread(target=self._serve, name="hostile", daemon=True).start()
        self._opened.wait(10)

    def _serve(self) -> None:
        reading = os.open(self.path, os.O_RDWR)
        self._opened.set()
        while request := os.read(reading, 1 << 16):
            for ident, name in re.findall(rb'"id": (\d+), "reply_name": "([^"]+)"', request):
                with contextlib.suppress(OSError):
                    self._answer(name.decode(), ident, *parts(self.script))

    def _answer(self, name: str, ident: bytes, how: int, what: bytes) -> None:
        writing = os.open(self.reply_dir / name, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.set_blocking(writing, True)
            send(lambda out: os.write(writing, out), how, what.replace(b"@ID@", ident))
            if how & OPEN:
                poller = select.poll()
                poller.register(writing, 0)  # tells when the other end has gone
                poller.poll(1_000)
        finally:
            os.close(writing)
