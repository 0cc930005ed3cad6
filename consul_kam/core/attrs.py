"""The attributes of a dispatcher destination: "name=value;name=value" [parse_param.c, parse_params2]."""

import re
from collections.abc import Mapping

from consul_kam.core.grammar import BadValue, Number

Attrs = tuple[tuple[str, str], ...]
"""Sorted (name, value) pairs."""

_PARAM = r"""[^,=;]*(?:=(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^"',;][^,;]*))?"""
_PARAMS = re.compile(rf"{_PARAM}(?:;{_PARAM})*=?")
_ONE = re.compile(rf"(?P<param>{_PARAM}=?)(?:;|$)")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_ALLOWED = "NAME=VALUE;NAME=VALUE without blanks, commas and control characters"


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


def check_attrs(text: str, known: Mapping[str, Number]) -> str:
    """The text as it can be written. BadValue where Kamailio would drop it, cut it, or read another number.

    Names that are not `known` pass; those that are, are so in upper and lower case.
    """
    bare = text.removesuffix(";")
    if _CONTROL.search(text) or bare.endswith(";") or not _PARAMS.fullmatch(bare):
        raise BadValue("attrs", text, _ALLOWED)
    for name, value in read_attrs(text):
        field = known.get(name.lower())
        if field is not None:
            field.read(value)
    return bare
