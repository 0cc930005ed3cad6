"""The binrpc codec without sockets: what is written reads back equal, and no bytes make it hang or fall over."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consul_kam.adapters.binrpc_wire import Decoder, decode_header, encode_packet, encode_request, encode_value
from consul_kam.core.ports import Value
from consul_kam.errors import RpcMalformed, RpcTooBig

REPO = Path(__file__).parents[2]
RECORDED = (Path(__file__).parent / "data" / "dispatcher_list_10.bin").read_bytes()

NAMES = st.sampled_from(["", "DEST", "SET", "URI", "long_member_name"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUES = st.recursive(
    TEXTS, lambda inner: st.lists(st.tuples(NAMES, inner), max_size=6).map(tuple) | st.just(()), max_leaves=30
)


def decode(body: bytes) -> tuple[Value, ...]:
    return Decoder().decode("test", body)


@given(st.lists(VALUES, max_size=5), st.lists(VALUES, max_size=5))
def test_what_is_written_reads_back_equal_cold_and_warm(before: list[Value], after: list[Value]) -> None:
    decoder = Decoder()
    for values in (before, after, before, [*before, *after], [*after, *before]):
        body = b"".join(encode_value(value) for value in values)
        assert decoder.decode("test", body) == tuple(values)


@given(st.binary(max_size=200), st.binary(max_size=200))
@example(b"\x83", b"")
@example(b"\x25a\x00\x03\x25a\x00\x03", b"\x03" * 100)
def test_random_bytes_decode_or_are_malformed_and_a_warm_decoder_agrees(first: bytes, second: bytes) -> None:
    warm = Decoder()
    for body in (first, second, first + second, second + first, first):
        assert outcome(warm, body) == outcome(Decoder(), body)


@given(st.lists(st.sampled_from(["\x03", "\x83", "\x04", "\x84", "\x25a\x00", "\x25b\x00", "\x00", "\x21x\x00"])))
def test_random_records_decode_or_are_malformed_and_a_warm_decoder_agrees(records: list[str]) -> None:
    body = "".join(records).encode("latin-1")
    warm = Decoder()
    for text in (body, body + body, body[: len(body) // 2], body):
        assert outcome(warm, text) == outcome(Decoder(), text)


def outcome(decoder: Decoder, body: bytes) -> object:
    try:
        return decoder.decode("test", body)
    except RpcMalformed as error:
        return str(error)


@given(st.integers(0, len(RECORDED) - 1), st.integers(0, 255))
def test_a_recorded_reply_with_one_byte_changed_reads_the_same_cold_and_warm(at: int, byte: int) -> None:
    warm = Decoder()
    warm.decode("test", RECORDED)
    changed = RECORDED[:at] + bytes((byte,)) + RECORDED[at + 1 :]
    assert outcome(warm, changed) == outcome(Decoder(), changed)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        # the examples of binrpc.h, optimal and not
        (b"\x20\x12\x34", "4660"),
        (b"\x90\x02\x12\x34", "4660"),
        (b"\xa0\x00\x02\x12\x34", "4660"),
        (b"\x00", "0"),
        (b"\x10\x00", "0"),
        (b"\x40\xff\xff\xff\xff", "-1"),
        (b"\x71abcdef\0", "abcdef"),
        (b"\x91\x0aabcdefhij\0", "abcdefhij"),
        (b"\x11\0", ""),
        (b"\x01", ""),
        (b"\x66abcdef", "abcdef"),
        (b"\x22\x05\xdc", "1.500000"),
        (b"\x22\x0b\xb8", "3"),
        (b"\x92\x08" + (-1500).to_bytes(8, signed=True), "-1.500000"),
        (b"\x21\xff\0", "\udcff"),
        (b"\x04\x10\x01\x10\x02\x84", (("", "1"), ("", "2"))),
        (b"\x03\x75intval\x00\x10\x03\x25s\x00\x41abc\0\x83", (("intval", "3"), ("s", "abc"))),
    ],
)
def test_each_kind_of_value(body: bytes, value: Value) -> None:
    assert decode(body) == (value,)


@pytest.mark.parametrize(
    "body",
    [
        b"\x83",  # closes nothing
        b"\x03",  # is never closed
        b"\x03\x84",  # closed by the other kind
        b"\x04\x83",
        b"\x25a\0\x10\x01",  # a member outside a struct
        b"\x03\x25a\0\x83",  # a name without a value
        b"\x03\x25a\0\x25b\0\x10\x01\x83",  # a name for a name
        b"\x13\x01\x83",  # a struct with a size
        b"\x80\x01",  # reserved
        b"\x21ab",  # no final NUL
        b"\x50\0\0\0\0\0",  # an int of 5 bytes
        b"\x07",  # no such kind
        b"\x71abc\0",  # shorter than it says
        b"\xf1\xff\xff\xff\xff\xff\xff\xff",  # a string of 2**56 bytes
        b"\x03" * 100_000,  # nested without end
        b"\x03\x25a\0" * 100_000,
    ],
)
def test_a_lie_is_malformed(body: bytes) -> None:
    with pytest.raises(RpcMalformed, match="cannot read"):
        decode(body)


FLOODS = [b"\x00", b"\x03\x83", b"\x03\x00\x00\x83", b"\x21x\x00"]


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("inside", [b"", b"\x03", b"\x03\x25a\0\x03"])
def test_a_flood_of_values_is_too_big(inside: bytes, flood: bytes) -> None:
    with pytest.raises(RpcTooBig, match="values"):
        decode(inside + flood * 1_100_000)


def test_values_inside_structs_count() -> None:
    with pytest.raises(RpcTooBig, match="values"):
        decode((b"\x03" + b"\x00" * 1_000 + b"\x83") * 1_100)


def test_a_flood_of_values_is_stopped_before_memory_ends() -> None:
    """64 MiB of the costliest values, in a process that may have no more than 1 GB."""
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({10**9}, {10**9}))
from consul_kam.adapters.binrpc_wire import Decoder
Decoder().decode("test", b"\\x03\\x83" * 32 * 1024 * 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPO, check=False)
    assert "RpcTooBig" in done.stderr.splitlines()[-1]


def test_what_stood_in_the_last_reply_is_the_same_object() -> None:
    decoder = Decoder()
    before = targets(decoder.decode("dispatcher.list", RECORDED))
    changed = RECORDED.replace(b"sip:10.0.0.5:5060", b"sip:10.0.0.99:506", 1)
    after = targets(decoder.decode("dispatcher.list", changed))
    same = [one is other for one, other in zip(before, after, strict=True)]
    assert same.count(False) == 2, "the changed one, and the first of the set, which has no elder sibling"
    assert decoder.decode("another", RECORDED) == decode(RECORDED)


def test_a_reply_that_says_the_same_is_the_same_object_until_one_says_otherwise() -> None:
    decoder = Decoder()
    first = decoder.decode("dispatcher.list", RECORDED)
    assert decoder.decode("dispatcher.list", bytes(bytearray(RECORDED))) is first
    changed = RECORDED.replace(b"sip:10.0.0.5:5060", b"sip:10.0.0.99:506", 1)
    assert decoder.decode("dispatcher.list", changed) == decode(changed)
    assert decoder.decode("dispatcher.list", RECORDED) == first


def targets(reply: tuple[Value, ...]) -> tuple[Value, ...]:
    records = dict(reply[0])["RECORDS"]  # type: ignore[arg-type]
    return dict(records[0][1])["TARGETS"]  # type: ignore[arg-type, index, return-value]


def test_requests_with_other_parameters_are_remembered_apart() -> None:
    decoder = Decoder()
    first = targets(decoder.decode("dispatcher.list", RECORDED))
    decoder.decode("dispatcher.list", encode_value((("DEST", (("URI", "a"),)),) * 3), ("short",))
    again = targets(decoder.decode("dispatcher.list", RECORDED))
    assert all(one is other for one, other in zip(first[1:], again[1:], strict=True))
    for number in range(100):
        decoder.decode("dispatcher.list", RECORDED, (number,))
        decoder.decode("dispatcher.set_state", encode_value("Ok"), ("dx", number))
    assert len(decoder._last) == 16
    assert ("dispatcher.list", 99) in decoder._last


def test_what_is_remembered_is_one_reply_per_method() -> None:
    decoder = Decoder()
    sizes = []
    tracemalloc.start()
    try:
        for turn in range(30):
            struct = tuple(("DEST", (("URI", f"sip:{turn}.{number}"),)) for number in range(400))
            decoder.decode("dispatcher.list", encode_value(struct))
            del struct
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] < sizes[9] * 1.3


def test_a_request_is_what_kamailio_expects() -> None:
    assert (
        encode_request("core.echo", (7, -1, "x"), 0x01020304)
        == bytes.fromhex("a10f0000001c01020304c10000000a")
        + b"core.echo\0"
        + bytes.fromhex("400000000740ffffffff")
        + b"\x21x\0"
    )


@pytest.mark.parametrize("packet", [b"", b"\xa1", b"\xa1\x1f\x00", b"\xa1\x10\x05"])
def test_half_a_header_is_no_header_yet(packet: bytes) -> None:
    assert decode_header(packet) is None


@pytest.mark.parametrize("packet", [b"HTTP/1.1 200 OK", b"\xa2\x10", b"\xa1\x00\x01\x01", b"\xa1\x20\x01\x01"])
def test_what_is_no_reply_is_malformed_at_once(packet: bytes) -> None:
    with pytest.raises(RpcMalformed):
        decode_header(packet)


@given(st.integers(0, 2**32 - 1), st.binary(max_size=300))
def test_a_header_reads_back(cookie: int, body: bytes) -> None:
    packet = encode_packet(1, cookie, body)
    header = decode_header(packet)
    assert header is not None
    assert (header.kind, header.cookie, packet[header.body : header.size]) == (1, cookie, body)
