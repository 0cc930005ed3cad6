"""An independent binrpc client, the tests' own eyes on Kamailio's memory.

Written from Kamailio's src/modules/ctl/binrpc.h; shares no code with consul_kam, so that a mistake there
cannot hide here.
"""

import itertools
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

_INT, _STR, _DOUBLE, _STRUCT, _ARRAY, _NAME, _BYTES = range(7)
_FAULT = 3
_cookies = itertools.count(1)


class Fault(Exception):
    """Kamailio answered with a fault."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        self.method, self.code, self.reason = method, code, reason
        super().__init__(f"{method}: {code} {reason}")


class Unreachable(Exception):
    """Nobody answers at the socket, or the connection ended in the middle."""


@dataclass(frozen=True)
class Struct:
    """A binrpc struct: its members in order; names may repeat (dispatcher.list has one SET per set) and
    are "" for the items of an array inside a struct (domain.dump)."""

    members: tuple[tuple[str, object], ...]

    def __getitem__(self, name: str) -> object:
        for key, value in self.members:
            if key == name:
                return value
        raise KeyError(name)

    def get(self, name: str, default: object = None) -> object:
        return next((value for key, value in self.members if key == name), default)

    def all(self, name: str) -> list[object]:
        return [value for key, value in self.members if key == name]


class Destination(NamedTuple):
    """One dispatcher destination as dispatcher.list shows it; `attrs` is ATTRS.BODY, "" where there is none."""

    uri: str
    flags: str
    priority: int
    attrs: str


class Rpc:
    """One client; the connection is kept and made anew after an error. Not for use by two threads at once."""

    def __init__(self, path: Path | str, timeout: float = 20.0) -> None:
        self.path, self.timeout = str(path), timeout
        self.body = b""  # the last reply as it came, without its header
        self._socket: socket.socket | None = None

    def call(self, method: str, *args: int | str | float) -> list[object]:
        """The reply's top-level values. Raises Fault, Unreachable, TimeoutError (after `timeout` s of silence)."""
        cookie = next(_cookies)
        try:
            kind, body = self._exchange(_packet(cookie, [method, *args]), cookie)
        except TimeoutError:
            self.close()
            raise
        except OSError as error:
            self.close()
            raise Unreachable(f"{self.path}: {error}") from error
        values = decode(body)
        if kind == _FAULT:
            code, reason = (*values, "", "")[:2]
            raise Fault(method, int(str(code)), str(reason))
        return values

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, packet: bytes, cookie: int) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.connect(self.path)
        self._socket.settimeout(self.timeout)
        self._socket.sendall(packet)
        head = self._read(2)
        if head[0] != 0xA1:
            raise OSError(f"not a binrpc reply: {head!r}")
        length_size, cookie_size = (head[1] >> 2 & 3) + 1, (head[1] & 3) + 1
        sizes = self._read(length_size + cookie_size)
        length = int.from_bytes(sizes[:length_size], "big")
        if int.from_bytes(sizes[length_size:], "big") != cookie:
            raise OSError("a reply with another request's cookie")
        body = self._read(length)
        self.body = body
        return head[1] >> 4, body

    def _read(self, size: int) -> bytes:
        assert self._socket is not None
        chunks: list[bytes] = []
        while size:
            chunk = self._socket.recv(min(size, 1 << 20))
            if not chunk:
                raise OSError("connection closed by Kamailio")
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def dispatcher(self) -> dict[int, list[Destination]]:
        """dispatcher.list as {setid: destinations in Kamailio's order}; the fault for an empty table reads as {}."""
        try:
            reply = self.call("dispatcher.list")
        except Fault as fault:
            if "No Destination Sets" in fault.reason:
                return {}
            raise
        sets: dict[int, list[Destination]] = {}
        for item in _structs(_struct(_struct(reply[0])["RECORDS"]).all("SET")):
            targets = _structs(_struct(item["TARGETS"]).all("DEST"))
            sets[int(str(item["ID"]))] = [_destination(target) for target in targets]
        return sets

    def domains(self) -> list[tuple[str, str]]:
        """domain.dump as (domain, did) pairs in the order given."""
        found = _struct(_struct(self.call("domain.dump")[0])["domains"])
        return [(str(item["domain"]), str(item["did"])) for item in _structs(found.all(""))]

    def rtpengines(self) -> list[tuple[int, str, int, str]]:
        """rtpengine.show all as (set, url, weight, disabled).

        `disabled`: "0", "1" (does not answer) or "1(permanent)" (by the table or by rtpengine.enable), as 5.6 has it.
        """
        return [
            (int(str(item["set"])), str(item["url"]), int(str(item["weight"])), _disabled(item))
            for item in _structs(self.call("rtpengine.show", "all"))
        ]


def _struct(value: object) -> Struct:
    assert isinstance(value, Struct), f"a struct expected, got {value!r}"
    return value


def _structs(values: object) -> list[Struct]:
    assert isinstance(values, list)
    return [_struct(value) for value in values]


def _destination(target: Struct) -> Destination:
    attrs = target.get("ATTRS")
    body = str(attrs["BODY"]) if isinstance(attrs, Struct) else ""
    return Destination(str(target["URI"]), str(target["FLAGS"]).strip(), int(str(target["PRIORITY"])), body)


def _disabled(node: Struct) -> str:
    """6.0: `disabled` 1 is for good (recheck_ticks -1), `active` 0 without it a node that does not answer."""
    shown = {"0": "0", "1": "1(permanent)"} if "active" in dict(node.members) else {}
    disabled = str(node["disabled"])
    return "1" if shown and disabled == "0" and not node["active"] else shown.get(disabled, disabled)


def _packet(cookie: int, values: list[int | str | float]) -> bytes:
    body = b"".join(map(_encode, values))
    # lengths and cookies on four bytes each: allowed by the header's two size fields
    return struct.pack(">BBII", 0xA1, 3 << 2 | 3, len(body), cookie) + body


def _encode(value: int | str | float) -> bytes:
    if isinstance(value, str):
        return _record(_STR, value.encode("utf-8", "surrogateescape") + b"\0")
    number, kind = (value, _INT) if isinstance(value, int) else (round(value * 1000), _DOUBLE)
    return _record(kind, (number & 0xFFFFFFFF).to_bytes(4, "big"))


def _record(kind: int, data: bytes) -> bytes:
    if len(data) < 8:
        return bytes([len(data) << 4 | kind]) + data
    return bytes([0x80 | 4 << 4 | kind]) + len(data).to_bytes(4, "big") + data


def decode(body: bytes) -> list[object]:
    """All values of a packet's body: int, float, str (surrogateescape), bytes, Struct, list."""
    values, at = _values(body, 0, None)
    if at != len(body):
        raise ValueError(f"{len(body) - at} bytes left over")
    return values


def _values(body: bytes, at: int, closing: int | None) -> tuple[list[object], int]:
    found: list[object] = []
    while at < len(body):
        first, at = body[at], at + 1
        kind, size = first & 0x0F, first >> 4 & 7
        if kind in (_STRUCT, _ARRAY):
            if first & 0x80:
                if kind != closing:
                    raise ValueError(f"struct or array closed that is not open, at byte {at - 1}")
                return found, at
            inner, at = _values(body, at, kind)
            found.append(_members(inner) if kind == _STRUCT else inner)
            continue
        if first & 0x80:
            size, at = int.from_bytes(body[at : at + size], "big"), at + size
        if at + size > len(body):
            raise ValueError(f"value at byte {at} ends beyond the packet")
        found.append(_scalar(kind, body[at : at + size]))
        at += size
    if closing is not None:
        raise ValueError("struct or array not closed")
    return found, at


class _Name(str):
    """A struct member's name, told from its value."""


def _scalar(kind: int, data: bytes) -> object:
    if kind == _INT:
        return int.from_bytes(data, "big", signed=len(data) == 4)
    if kind == _DOUBLE:
        return int.from_bytes(data, "big", signed=len(data) == 4) / 1000
    if kind in (_STR, _NAME):
        text = data[:-1].decode("utf-8", "surrogateescape")
        return _Name(text) if kind == _NAME else text
    if kind == _BYTES:
        return data
    raise ValueError(f"unknown binrpc type {kind}")


def _members(items: list[object]) -> Struct:
    members: list[tuple[str, object]] = []
    pending: str | None = None
    for item in items:
        if isinstance(item, _Name):
            if pending is not None:
                members.append((pending, None))
            pending = str(item)
        else:
            # an array inside a struct comes as a struct whose members have no names (ctl's rpc_struct_add with "[")
            members.append((pending or "", item))
            pending = None
    if pending is not None:
        members.append((pending, None))
    return Struct(tuple(members))
