"""The attributes of a dispatcher destination: "name=value;name=value" [parse_param.c, parse_params2]."""

import re
from collections.abc import Mapping

from consul_kam.core.grammar import BadValue, Number

Attrs = tuple[tuple[str, str], ...]
"""Sorted (name, value) pairs."""

_PARAM = r"""[^,=;]*(?:=(?:"[^"]*"|'[^']*'|[^"',;][^,;]*))?"""
_PARAMS = re.compile(rf"(?:{_PARAM};)*(?P<last>{_PARAM})=?(?P<comma>,[^;]*)?")
_ONE = re.compile(rf"(?P<param>{_PARAM}(?:=|,[^;]*)?)(?:;|$)")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_ALLOWED = "NAME=VALUE;NAME=VALUE without blanks and control characters, quotes in pairs"


def read_attrs(text: str) -> Attrs:
    """What Kamailio keeps of an attrs text, or shows of it: one trailing ";" less, none=yes is its word for none."""
    if text in ("", ";", "none=yes"):
        return ()
    text = text.removesuffix(";")
    if '"' not in text and "'" not in text:
        params = text.split(";")
    else:
        params = [match["param"] for match in _ONE.finditer(text)]
    return tuple(sorted((name, value) for name, _, value in (param.partition("=") for param in params if param)))


def check_attrs(text: str, known: Mapping[str, Number | None]) -> str:
    """The text as it can be written. BadValue where Kamailio would drop it, cut it, or read another number.

    `known`: the names that Kamailio reads, in lower case (it takes them in any); None for text. Others pass.
    """
    bare = text.removesuffix(";")
    match = _PARAMS.fullmatch(bare)
    if match is None or _CONTROL.search(text) or bare.endswith(";"):
        raise BadValue("attrs", text, _ALLOWED)
    if match["comma"] and match["last"].partition("=")[0].lower() in known:
        raise BadValue("attrs", text, "no comma: Kamailio reads nothing behind it")
    values: dict[str, str] = {}
    for name, value in read_attrs(text):
        lower = name.lower()
        field = known.get(lower)
        if field is not None:
            field.read(_number(value))
        if lower in known and values.setdefault(lower, value) != value:
            raise BadValue("attrs", text, f"{lower} once: Kamailio reads the first and drops the other")
    return bare


def _number(value: str) -> str:
    """The digits that Kamailio reads: quotes are no part of a value, and str2sint takes a plus."""
    if value[:1] in ("'", '"'):
        value = value[1:-1]
    return value.removeprefix("+")
