"""Kamailio's jsonrpcs, without any I/O: requests out, replies in. [src/modules/jsonrpcs, src/core/utils/srjson.c, 5.6]

A reply becomes the same values that binrpc gives. What JSON does not tell, or jsonrpcs does not send:
- `{}` is what a method answers that adds nothing, so it reads as no value; but for METHODS_OF_ONE_STRUCT.
- A method that answers with one array looks like one that answers with its items (`core.sockets_list`; none of ours).
- Of several values of a method that is not declared to return an array, jsonrpcs keeps the last (none of ours).
- An int over 31 bits is whole here and wraps over binrpc; a time is text here and seconds there.
- There is no batch: an array of requests is answered with an empty result and no id.

A reply is read with the assumption that its sender is hostile: it ends in values, RpcMalformed or RpcTooBig.
"""

import json
import math
import re
from typing import Any, Final

from consul_kam.adapters import rpc_limits
from consul_kam.core.ports import Struct, Value
from consul_kam.errors import RpcError, RpcMalformed, RpcTooBig

MAX_REPLY: Final = 64 * 1024 * 1024
"""Bytes."""
METHODS_OF_ONE_STRUCT: Final = frozenset({"permissions.domainDump"})
"""Methods that answer with one struct, also where it is empty."""
_MAX_VALUES = 1_000_000
_MAX_ID = 0x7FFFFFFF
_SURROGATE = re.compile(r"(?<!\\)(?:\\\\)*\\u[dD][89a-fA-F]")
"""An escape that srjson never writes, and that would be taken for a byte that is no UTF-8."""


def next_id(last: int) -> int:
    """The id behind `last`: 1 to 2**31 - 1, which srjson prints exactly."""
    return last % _MAX_ID + 1


def encode_request(method: str, params: tuple[str | int, ...], ident: int, reply_name: str = "") -> bytes:
    """One request. `reply_name`: of the reply FIFO.

    No backslash stands before a quote: jsonrpcs's FIFO looks for the end of a string by the one byte before a quote, so
    that a text which ends in a backslash would leave it deaf (`jsonrpc_read_stream`).
    """
    request: dict[str, object] = {"jsonrpc": "2.0", "id": ident}
    if reply_name:
        request["reply_name"] = reply_name
    text = json.dumps({**request, "method": method, "params": list(params)}, ensure_ascii=False)
    return text.replace("\\\\", "\\u005c").replace('\\"', "\\u0022").encode(errors="surrogateescape")


def decode_reply(method: str, data: bytes, ident: int) -> tuple[Value, ...]:
    """The values of the reply to the request `ident`. Raises RpcFault, RpcMalformed, RpcTooBig (a million values)."""
    reply = members(data)
    if reply.get("jsonrpc") != "2.0":
        raise RpcMalformed(f"cannot read the reply to {method}: it is no JSON-RPC: {shown(data)}")
    if reply.get("id") != str(ident):
        raise RpcMalformed(f"cannot read the reply to {method}: it answers another request: {shown(data)}")
    if "error" in reply:
        raise _fault(method, _value(reply["error"]))
    if "result" not in reply:
        raise RpcMalformed(f"cannot read the reply to {method}: neither result nor error: {shown(data)}")
    result = reply["result"]
    if isinstance(result, list):
        values = tuple(map(_value, result))
    elif result == () and method not in METHODS_OF_ONE_STRUCT:
        values = ()
    else:
        values = (_value(result),)
    rpc_limits.check_whole(method, values)
    return values


def members(data: bytes) -> dict[str, Any]:
    """The members of a document that is one object; an array among them as a list. {} where it is no such document.

    Raises RpcTooBig.
    """
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MAX_VALUES:
        raise RpcTooBig(f"cannot take a reply of more than {_MAX_VALUES} values: split the list")
    text = data.decode(errors="surrogateescape")
    if "\\u" in text and _SURROGATE.search(text):
        return {}
    outermost: list[tuple[str, Any]] = []

    def struct(pairs: list[tuple[str, Any]]) -> Struct:
        nonlocal outermost
        outermost = pairs
        # Names may repeat: permissions.domainDump has all its entries in one object.
        return tuple([pair if pair[1].__class__ in _DONE else (pair[0], _value(pair[1])) for pair in pairs])

    try:
        found = json.loads(
            text, object_pairs_hook=struct, parse_int=str, parse_float=_thousandths, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        return {}
    return dict(outermost) if isinstance(found, tuple) else {}


def shown(data: bytes) -> str:
    """The start of what came, for a message."""
    return repr(data[:60].decode(errors="replace")) + (" ..." if len(data) > 60 else "")


_DONE = (str, tuple)


def _value(found: Any) -> Value:
    if isinstance(found, _DONE):
        return found
    if isinstance(found, list):
        return _array(found)
    # As binrpc sends them.
    return "<null string>" if found is None else str(int(found))


def _array(items: list[Any]) -> Struct:
    """jsonrpcs wraps each member of a struct whose names repeat in an object of its own (`jsonrpc_struct_add`)."""
    if all(item.__class__ is tuple and len(item) == 1 for item in items):
        return tuple([item[0] for item in items])
    return tuple([("", _value(item)) for item in items])


def _thousandths(text: str) -> str:
    """A double as binrpc carries it: what is below a thousandth is cut off."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    thousandths = math.trunc(number * 1000)
    return f"{thousandths / 1000:f}" if thousandths % 1000 else str(thousandths // 1000)


def _refuse(constant: str) -> Any:
    raise ValueError(constant)


def _fault(method: str, error: Value) -> RpcError:
    match dict(error) if isinstance(error, tuple) else {}:
        case {"code": str(code), "message": str(reason)} if rpc_limits.CODE.fullmatch(code):
            if reason == "Method Not Found":
                reason = f"command {method} not found"  # as ctl says it
            return rpc_limits.fault(method, int(code), reason, rpc_limits.MEMORY)
    return RpcMalformed(f"cannot read the fault of {method}: it is no code and message")
