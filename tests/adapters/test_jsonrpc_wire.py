"""jsonrpcs's documents: requests that its FIFO cannot misread, replies as the values that binrpc gives."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.adapters.jsonrpc_wire import decode_reply, encode_request, next_id
from consul_kam.core.ports import Value
from consul_kam.errors import RpcFault, RpcMalformed, RpcTooBig


def reply(result: str, ident: int = 7) -> bytes:
    return f'{{"jsonrpc":"2.0","result":{result},"id":{ident}}}'.encode(errors="surrogateescape")


def read(result: str, method: str = "m") -> tuple[Value, ...]:
    return decode_reply(method, reply(result), 7)


def fifo_takes(document: bytes) -> bool:
    """Whether jsonrpc_read_stream (5.6) ends with this document's last byte: it looks one byte back at each quote."""
    quoted, depth, before = 0, 0, 0
    for at, byte in enumerate(document):
        if byte in b"\"'" and quoted in (0, byte):
            if before != ord("\\"):
                quoted = 0 if quoted else byte
        elif byte in b"{}" and not quoted:
            depth += 1 if byte == ord("{") else -1
            if depth == 0:
                return at == len(document) - 1
        before = byte
    return False


@given(st.lists(st.text(st.sampled_from("\\\"'{}[]a\n\x01é\udcff😀")) | st.integers(-(2**31), 2**31 - 1)))
def test_the_fifo_takes_every_request_whole(params: list[str | int]) -> None:
    document = encode_request("core.echo", tuple(params), 5, "name")
    assert fifo_takes(document)
    read_back = json.loads(document.decode(errors="surrogateescape"))
    wanted = {"jsonrpc": "2.0", "id": 5, "reply_name": "name", "method": "core.echo", "params": params}
    assert read_back == wanted


def test_what_the_fifo_would_misread() -> None:
    assert not fifo_takes(json.dumps({"params": ["a\\"]}).encode())


_TWICE = (("g", "1"), ("i", (("n", "a"),)), ("g", "2"), ("i", (("n", "b"),)))


@pytest.mark.parametrize(
    ("result", "values"),
    [
        ("{}", ()),
        ("[]", ()),
        ('"Ok."', ("Ok.",)),
        ('["7",7]', ("7", "7")),
        ("null", ("<null string>",)),
        ("[true,false,null]", ("1", "0", "<null string>")),
        ("-12", ("-12",)),
        ("99999999999999999999", ("99999999999999999999",)),
        ("[1.234567,0.0004,12.500000,-0.5]", ("1.234000", "0", "12.500000", "-0.500000")),
        ("[3e+2,1.5e-1]", ("300", "0.150000")),
        ('[{"a":1},{"b":2}]', ((("a", "1"),), (("b", "2"),))),
        ('{"R":[{"S":{"I":1}},{"S":{"I":2}}]}', ((("R", (("S", (("I", "1"),)), ("S", (("I", "2"),)))),),)),
        ('{"d":[{"x":1,"y":2},{}]}', ((("d", (("", (("x", "1"), ("y", "2"))), ("", ()))),),)),
        ('{"d":["a",["b"]],"e":[]}', ((("d", (("", "a"), ("", (("", "b"),)))), ("e", ())),)),
        ('{"g":1,"i":{"n":"a"},"g":2,"i":{"n":"b"}}', (_TWICE,)),
        ('"q\\"b\\\\c\\u0001\\u001f\udcff"', ('q"b\\c\x01\x1f\udcff',)),
        ('"\\\\ud8ff is text"', ("\\ud8ff is text",)),
    ],
)  # fmt: skip
def test_values(result: str, values: tuple[Value, ...]) -> None:
    assert read(result) == values


def test_one_struct_that_is_empty() -> None:
    assert read("{}", "permissions.domainDump") == ((),)
    assert read('{"table":1}', "permissions.domainDump") == ((("table", "1"),),)


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        ('{"code":500,"message":"Ongoing reload"}', 500, "Ongoing reload"),
        ('{"code":500,"message":"Method Not Found"}', 500, "command m not found"),
        ('{"code":-32000,"message":"Execution Error"}', -32000, "Execution Error"),
    ],
)
def test_faults(error: str, code: int, reason: str) -> None:
    with pytest.raises(RpcFault) as caught:
        decode_reply("m", f'{{"jsonrpc":"2.0","error":{error},"id":7}}'.encode(), 7)
    assert (caught.value.code, caught.value.reason) == (code, reason)


def test_a_reply_that_kamailio_could_not_build_is_too_big() -> None:
    error = b'{"jsonrpc":"2.0","error":{"code":500,"message":"Internal error creating dest"},"id":7}'
    with pytest.raises(RpcTooBig, match="memory"):
        decode_reply("dispatcher.list", error, 7)


MALFORMED = {
    "nothing": b"",
    "text": b"OK",
    "html": b"<html></html>",
    "an array": b'[{"jsonrpc":"2.0","result":{},"id":7}]',
    "no version": b'{"result":{},"id":7}',
    "another id": reply("{}", 8),
    "no id": b'{"jsonrpc":"2.0","result":{}}',
    "an id that is text": b'{"jsonrpc":"2.0","result":{},"id":["7"]}',
    "neither": b'{"jsonrpc":"2.0","id":7}',
    "half": reply('{"a":1}')[:-4],
    "more": reply("{}") + b"{}",
    "nested without end": b'{"jsonrpc":"2.0","id":7,"result":' + b"[" * 100_000,
    "nested deep": reply("[" * 50_000 + "]" * 50_000),
    "no number": reply("NaN"),
    "infinity": reply("1e999"),
    "a raw newline": reply('"a\nb"'),
    "a surrogate": reply('"\\ud8ff"'),
    "a surrogate behind backslashes": reply('"\\\\\\udcff"'),
    "a fault of no shape": b'{"jsonrpc":"2.0","error":"no","id":7}',
    "a fault without code": b'{"jsonrpc":"2.0","error":{"message":"x"},"id":7}',
    "a fault with half a code": b'{"jsonrpc":"2.0","error":{"code":1.5,"message":"x"},"id":7}',
    "a fault that nests": b'{"jsonrpc":"2.0","error":{"code":1,"message":{"x":1}},"id":7}',
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed(data: bytes) -> None:
    with pytest.raises(RpcMalformed, match=r"^cannot read the (reply to|fault of) m: "):
        decode_reply("m", data, 7)


def test_more_values_than_memory_holds() -> None:
    with pytest.raises(RpcTooBig, match="1000000 values"):
        decode_reply("m", reply("[" + "[]," * 600_000 + "0]"), 7)


@given(st.binary() | st.binary().map(lambda data: reply(data.decode("latin1"))))
def test_any_bytes_are_values_or_an_error(data: bytes) -> None:
    with contextlib.suppress(RpcMalformed, RpcFault, RpcTooBig):
        assert isinstance(decode_reply("m", data, 7), tuple)


def test_a_list_that_was_cut_short_is_too_big() -> None:
    with pytest.raises(RpcTooBig, match="cut short"):
        read('{"domains":[]}', "domain.dump")


def test_ids_go_round() -> None:
    assert [next_id(0), next_id(0x7FFFFFFE), next_id(0x7FFFFFFF)] == [1, 0x7FFFFFFF, 1]
