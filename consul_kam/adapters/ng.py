"""RTPEngine's NG protocol, for a ping and a count: a cookie, a blank, a bencoded dictionary; over UDP or TCP.

Source: rtpengine's documentation, "The ng Control Protocol": the reply repeats the cookie, and a request that is sent
again with its cookie gets the same reply again. Over TCP the same stands in the stream, without a length.
"""

import secrets
import socket
import time

from consul_kam.adapters.endpoint import Endpoint
from consul_kam.errors import Unanswered

AGAIN = 0.3
"""Seconds without a reply after which the ping is sent again over UDP."""
LARGEST = 65_536
_DEEPEST = 8
_VERBS = {"ping": "ping", "statistics": "count the sessions of"}

Ben = int | bytes | list["Ben"] | dict[bytes, "Ben"]


def ping(endpoint: str, timeout: float) -> str:
    """The `result` of a ping: "pong". Raises Unanswered: nobody within `timeout` s, or what is no reply."""
    reply = _asked("ping", endpoint, timeout)
    result = reply.get(b"result")
    return result.decode(errors="replace") if isinstance(result, bytes) else f"no result in {reply!r}"


def sessions(endpoint: str, timeout: float) -> tuple[int, int]:
    """(sessions of its own that are up, all that it ever had). Raises Unanswered.

    `statistics`, and not `list`: a reply of fixed size, that tells of sessions which came and went between two looks.
    """
    reply = _asked("statistics", endpoint, timeout)
    try:
        found = _table(reply, b"statistics")
        own = _whole(_table(found, b"currentstatistics"), b"sessionsown")
        return own, own + _whole(_table(found, b"totalstatistics"), b"managedsessions")
    except ValueError as error:
        raise Unanswered(f"cannot count the sessions of {endpoint}: {error}") from None


def _asked(command: str, endpoint: str, timeout: float) -> dict[bytes, Ben]:
    """Raises Unanswered."""
    to = Endpoint.parse(endpoint)
    cookie = secrets.token_hex(8).encode()
    until = time.monotonic() + timeout
    try:
        family, address = to.resolve()
        with socket.socket(family, to.kind) as client:
            client.settimeout(timeout)
            client.connect(address)
            exchange = _over_tcp if to.stream else _over_udp
            request = b"d7:command%d:%se" % (len(command), command.encode())
            return exchange(client, cookie, cookie + b" " + request, until)
    except TimeoutError:
        raise Unanswered(f"cannot {_VERBS[command]} {endpoint}: no answer within {timeout:g} s") from None
    except OSError as error:
        raise Unanswered(f"cannot {_VERBS[command]} {endpoint}: {error.strerror or error}") from None
    except (ValueError, IndexError) as error:
        raise Unanswered(f"cannot {_VERBS[command]} {endpoint}: what came is no reply: {error}") from None


def _table(found: dict[bytes, Ben], name: bytes) -> dict[bytes, Ben]:
    value = found.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"no {name.decode()} in its reply")
    return value


def _whole(found: dict[bytes, Ben], name: bytes) -> int:
    value = found.get(name)
    if not isinstance(value, int):
        raise ValueError(f"no number {name.decode()} in its reply")
    return value


def _over_udp(client: socket.socket, cookie: bytes, request: bytes, until: float) -> dict[bytes, Ben]:
    while True:
        client.send(request)
        again = min(time.monotonic() + AGAIN, until)
        while (left := again - time.monotonic()) > 0:
            client.settimeout(left)
            try:
                data = client.recv(LARGEST)
            except TimeoutError:
                break
            found, _, body = data.partition(b" ")
            if found == cookie:
                return _dictionary(body)
        if time.monotonic() >= until:
            raise TimeoutError


def _over_tcp(client: socket.socket, cookie: bytes, request: bytes, until: float) -> dict[bytes, Ben]:
    client.sendall(request)
    data = b""
    while (left := until - time.monotonic()) > 0:
        client.settimeout(left)
        more = client.recv(LARGEST)
        data += more
        found, blank, body = data.partition(b" ")
        if not more or len(data) > LARGEST or (blank and found != cookie):
            raise ValueError(f"{data[:80]!r}")
        try:
            return _dictionary(body)
        except IndexError:  # the rest is on its way
            continue
    raise TimeoutError


def _dictionary(data: bytes) -> dict[bytes, Ben]:
    value, end = decode(data)
    if not isinstance(value, dict) or end != len(data):
        raise ValueError(f"{data[:80]!r}")
    return value


def decode(data: bytes, at: int = 0, depth: int = 0) -> tuple[Ben, int]:
    """One bencoded value and where it ends. Raises IndexError where it is cut, ValueError where it is none."""
    mark = data[at : at + 1]
    if depth > _DEEPEST:
        raise ValueError(f"more than {_DEEPEST} levels")
    if mark in (b"d", b"l"):
        items: list[Ben] = []
        at += 1
        while data[at] != ord("e"):
            value, at = decode(data, at, depth + 1)
            items.append(value)
        return (items if mark == b"l" else _pairs(items)), at + 1
    if mark == b"i":
        end = _index(data, b"e", at)
        return int(data[at + 1 : end]), end + 1
    colon = _index(data, b":", at)
    size = int(data[at:colon])
    end = colon + 1 + size
    if size < 0 or end > LARGEST:
        raise ValueError(f"a text of {size} bytes")
    if end > len(data):
        raise IndexError("cut")
    return data[colon + 1 : end], end


def _pairs(items: list[Ben]) -> dict[bytes, Ben]:
    names = items[::2]
    if len(items) % 2 or not all(isinstance(name, bytes) for name in names):
        raise ValueError("a dictionary without names")
    return {name: value for name, value in zip(names, items[1::2], strict=True) if isinstance(name, bytes)}


def _index(data: bytes, mark: bytes, at: int) -> int:
    """Where the mark is; a number's digits never go on for longer than 20."""
    found = data.find(mark, at, at + 22)
    if found < 0:
        if len(data) - at >= 22:
            raise ValueError(f"{data[at : at + 22]!r}")
        raise IndexError("cut")
    return found
