"""binrpc's bytes, without any I/O: requests out, replies in (`src/modules/ctl/binrpc.h`, Kamailio 5.6 to 6.1).

A reply is read with the assumption that its sender is hostile: lengths that lie, nesting without end and more values
than memory holds end in RpcMalformed or RpcTooBig, never in a hang, MemoryError or RecursionError.
"""

from typing import NamedTuple

from consul_kam.core.ports import Struct, Value
from consul_kam.errors import RpcMalformed, RpcTooBig

MAGIC_AND_VERSION = 0xA1
REQUEST, REPLY, FAULT = 0, 1, 3

_INT, _STR, _DOUBLE, _STRUCT, _ARRAY, _NAME, _BYTES = range(7)
_CONTAINERS = (_STRUCT, _ARRAY)
_EXTERNAL_SIZE = 0x80
_MAX_DEPTH = 32
_MAX_VALUES = 1_000_000
_MAX_LEAVES = 4_096
_REACH = 4_096
_MAX_REMEMBERED = 16


class Header(NamedTuple):
    """The start of a packet: `size` bytes in all, header included; the values start at byte `body`."""

    kind: int
    cookie: int
    body: int
    size: int


def encode_request(method: str, params: tuple[str | int, ...], cookie: int) -> bytes:
    """One request packet. `cookie`: 0 to 2**32 - 1, comes back in the reply. Ints must fit in 32 bits, signed."""
    body = b"".join(encode_value(value) for value in (method, *params))
    return encode_packet(REQUEST, cookie, body)


def encode_packet(kind: int, cookie: int, body: bytes) -> bytes:
    """A packet of any kind round encoded values."""
    return bytes((MAGIC_AND_VERSION, kind << 4 | 3 << 2 | 3)) + len(body).to_bytes(4) + cookie.to_bytes(4) + body


def encode_value(value: Value | int) -> bytes:
    """One value: text as a string, an int as an int, pairs as a struct whose members with a name have that name."""
    if isinstance(value, int):
        raw = b"" if value == 0 else value.to_bytes(4, signed=True)
        return _record(_INT, raw)
    if isinstance(value, str):
        return _record(_STR, _terminated(value))
    members = ((_record(_NAME, _terminated(name)) if name else b"") + encode_value(member) for name, member in value)
    return bytes((_STRUCT,)) + b"".join(members) + bytes((_EXTERNAL_SIZE | _STRUCT,))


def decode_header(packet: bytes | bytearray) -> Header | None:
    """The header at the start of `packet`; None where more bytes are needed. Raises RpcMalformed."""
    if packet[:1] and packet[0] != MAGIC_AND_VERSION:
        raise RpcMalformed(f"cannot read a reply that starts with byte {packet[0]:#04x}: this is no binrpc socket")
    if len(packet) < 2:
        return None
    kind = packet[1] >> 4
    if kind not in (REPLY, FAULT):
        raise RpcMalformed(f"cannot read a packet of kind {kind}: neither a reply nor a fault")
    cookie_at = 3 + (packet[1] >> 2 & 3)
    body = cookie_at + 1 + (packet[1] & 3)
    if len(packet) < body:
        return None
    length = int.from_bytes(packet[2:cookie_at])
    return Header(kind, int.from_bytes(packet[cookie_at:body]), body, body + length)


class Decoder:
    """Turns reply bodies into values, and remembers the parts of the last reply to each request.

    A struct whose bytes stood in the last reply to the same request (method and parameters) costs a slice and a
    look-up, and is the very same object again; so is a whole reply. What is remembered is bounded by one reply for each
    of the last 16 requests whose replies had anything to remember.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str | int, ...], _Run] = {}
        self._leaves: dict[bytes, tuple[str, Value]] = {}

    def decode(self, method: str, body: bytes, params: tuple[str | int, ...] = ()) -> tuple[Value, ...]:
        """The values of a reply to `method`. Raises RpcMalformed, RpcTooBig (more than a million values)."""
        request = (method, *params)
        last = self._last.get(request)
        if last is not None and last.body == body:
            return last.values
        run = _Run(body, last.seen if last is not None else {}, self._leaves)
        try:
            pairs, _ = run.members(0, -1, 0)
        except IndexError:
            raise RpcMalformed(f"cannot read the reply to {method}: it breaks off after {len(body)} bytes") from None
        run.old, run.values = {}, tuple(value for _, value in pairs)
        self._last.pop(request, None)
        if run.seen:
            self._last[request] = run
            if len(self._last) > _MAX_REMEMBERED:
                del self._last[next(iter(self._last))]
        return run.values


class _Run:
    """One pass over one body; an IndexError means that the body is too short."""

    def __init__(
        self, body: bytes, old: dict[bytes, tuple[str, Value]], leaves: dict[bytes, tuple[str, Value]]
    ) -> None:
        self.body, self.old, self.leaves = body, old, leaves
        self.seen: dict[bytes, tuple[str, Value]] = {}
        self.left = _MAX_VALUES
        self.values: tuple[Value, ...] = ()

    def members(self, at: int, closer: int, depth: int) -> tuple[Struct, int]:
        """What stands from `at` to `closer` (-1: to the end of the body), and where to go on."""
        body, opening = self.body, b""
        found: list[tuple[str, Value]] = []
        while True:
            if closer < 0 and at == len(body):
                return tuple(found), at
            head = body[at]
            if head == closer:
                return tuple(found), at + 1
            value_at = at
            if head & 15 == _NAME:
                if closer < 0:
                    raise self.malformed(at, "a member outside a struct")
                value_at = self.skip(at)
                head = body[value_at]
            if head in _CONTAINERS:
                start = body[at : value_at + 1]
                next_at = self.known_siblings(at, start, found) if start == opening else at
                if next_at == at:
                    next_at = self.container(at, value_at, start == opening, depth, found)
                at, opening = next_at, start
            else:
                end = self.skip(value_at)
                found.append(self.leaf(at, value_at, end))
                at = end
            if len(found) > self.left:
                raise RpcTooBig(f"cannot take a reply of more than {_MAX_VALUES} values: split the list")

    def known_siblings(self, at: int, opening: bytes, found: list[tuple[str, Value]]) -> int:
        """Take the structs from `at` on that stood in the last reply; return where the first unknown one starts.

        Each probably ends where the next opening stands. If exactly those bytes were decoded before, decoding them
        again could only give the same; a wrong guess finds nothing and costs time only.
        """
        body, old, seen = self.body, self.old, self.seen
        mark = opening if len(opening) > 1 else bytes((opening[0] | _EXTERNAL_SIZE, opening[0]))
        overlap = len(mark) - len(opening)
        while (end := body.find(mark, at + len(opening), at + _REACH)) >= 0:
            chunk = body[at : end + overlap]
            known = old.get(chunk)
            if known is None:
                break
            seen[chunk] = known
            found.append(known)
            at = end + overlap
        return at

    def container(self, at: int, value_at: int, repeats: bool, depth: int, found: list[tuple[str, Value]]) -> int:
        """Decode one struct or array with its name; return where it ends."""
        if depth >= _MAX_DEPTH:
            raise self.malformed(at, f"more than {_MAX_DEPTH} levels")
        self.left -= len(found)
        value, end = self.members(value_at + 1, self.body[value_at] | _EXTERNAL_SIZE, depth + 1)
        self.left += len(found) - len(value)
        pair: tuple[str, Value] = (self.text(at, value_at) if value_at > at else "", value)
        if repeats and end - at <= _REACH:
            chunk = self.body[at:end]
            pair = self.seen[chunk] = self.old.get(chunk, pair)
        found.append(pair)
        return end

    def leaf(self, at: int, value_at: int, end: int) -> tuple[str, Value]:
        """A scalar with its name; frequent ones are shared."""
        key = self.body[at:end]
        pair = self.leaves.get(key)
        if pair is None:
            if self.body[value_at] & 15 == _NAME:
                raise self.malformed(value_at, "a name where a value is due")
            pair = (self.text(at, value_at) if value_at > at else "", self.text(value_at, end))
            if len(self.leaves) >= _MAX_LEAVES:
                self.leaves.clear()
            self.leaves[key] = pair
        return pair

    def skip(self, at: int) -> int:
        """Where the record that starts at `at` ends."""
        head = self.body[at]
        size = head >> 4 & 7
        at += 1
        if head & _EXTERNAL_SIZE:
            if size == 0:
                raise self.malformed(at - 1, "an end mark that closes nothing")
            at += size
            size = int.from_bytes(self.body[at - size : at])
        # Beyond the end is an IndexError at the next byte.
        return at + size

    def text(self, at: int, end: int) -> str:
        """The scalar or name between `at` and `end`, as kamcmd prints it."""
        head = self.body[at]
        kind = head & 15
        raw = self.body[at + 1 + (head >> 4 & 7 if head & _EXTERNAL_SIZE else 0) : end]
        if kind in (_STR, _NAME):
            if raw[-1:] not in (b"", b"\0"):
                raise self.malformed(at, "a string without its final NUL")
            return raw[:-1].decode(errors="surrogateescape")
        if kind == _BYTES:
            return raw.decode(errors="surrogateescape")
        if kind == _INT and len(raw) <= 4:
            return str(int.from_bytes(raw.rjust(4, b"\0"), signed=True))
        if kind == _DOUBLE and len(raw) <= 8:
            thousandths = int.from_bytes(raw.rjust(8, b"\0"), signed=True)
            return f"{thousandths / 1000:f}" if thousandths % 1000 else str(thousandths // 1000)
        raise self.malformed(at, f"a value of kind {kind}, {len(raw)} bytes")

    def malformed(self, at: int, what: str) -> RpcMalformed:
        return RpcMalformed(f"cannot read a reply: {what}, at byte {at} of {len(self.body)}")


def _terminated(text: str) -> bytes:
    return text.encode(errors="surrogateescape") + b"\0"


def _record(kind: int, raw: bytes) -> bytes:
    if len(raw) < 8:
        return bytes((len(raw) << 4 | kind,)) + raw
    return bytes((_EXTERNAL_SIZE | 4 << 4 | kind,)) + len(raw).to_bytes(4) + raw
