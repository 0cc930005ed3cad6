"""What a single value may be: typed fields with their range, pattern and the source of the rule.

Each `read` takes a value as JSON or a word of a file gives it, and returns it typed, or raises BadValue.
"""

import ipaddress
import re
from dataclasses import dataclass

SHOWN = 60
"""Characters of a bad value that a message shows: a hostile one may be megabytes long."""

INT_MAX = 2**31 - 1
"""Kamailio's loaders collect digits in a C int without a check: more wraps round [dispatch.c, ds_load_list]."""


class BadValue(Exception):
    """A value is not what its field allows. `column` counts from 1; 0 where not known."""

    def __init__(self, field: str, value: object, allowed: str, column: int = 0) -> None:
        self.field, self.column = field, column
        super().__init__(f"{field} is {shown(value)}, allowed: {allowed}")


def shown(value: object) -> str:
    """`value` in printable ASCII, cut to SHOWN characters."""
    if isinstance(value, str):
        value = value[: SHOWN + 1]
    text = ascii(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `low` to `high`, as a JSON number or as decimal digits."""

    name: str
    low: int
    high: int
    source: str

    def read(self, value: object) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
            value = int(value)
        if type(value) is not int or not self.low <= value <= self.high:
            raise BadValue(self.name, value, f"a whole number from {self.low} to {self.high}")
        return value


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    name: str
    values: tuple[str, ...]
    source: str

    def read(self, value: object) -> str:
        if isinstance(value, str) and value in self.values:
            return value
        raise BadValue(self.name, value, " or ".join(repr(v) for v in self.values))


@dataclass(frozen=True, slots=True)
class Text:
    """Text that `pattern` matches as a whole; `allowed` says the same to people."""

    name: str
    pattern: re.Pattern[str]
    allowed: str
    source: str

    def read(self, value: object) -> str:
        if isinstance(value, str) and self.pattern.fullmatch(value):
            return value
        raise BadValue(self.name, value, self.allowed)


def entry(allowed: str) -> Text:
    """What a static entry or a KV value may be before it is split: one line of text; `allowed` says of which words."""
    return Text("entry", re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]+"), allowed, "docs/templates.md")


PORT = Number("port", 1, 65535, "RFC 768; Kamailio loads port 0 [kamailio-facts.md, 2]")

_BARE_IPV6 = re.compile(r"[0-9A-Fa-f:.]+")
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
# the underscore is no part of RFC 1123, but docker's service names have it and resolvers take it
_NAME = re.compile(r"(?=.{1,254}$)(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
# a name that ends in a number is an address to inet_aton, and to Kamailio one with its octets cut to a byte
_NUMERIC_END = re.compile(r"(?:.*\.)?(?:\d+|0[xX][0-9a-fA-F]*)\.?", re.ASCII)


def is_literal(host: str) -> bool:
    """Whether a host that `read_host` let through is an IP address rather than a name."""
    return host.startswith("[") or _IPV4.fullmatch(host) is not None


def read_host(value: object, field: str = "address", bare_ipv6: bool = False, unspecified: bool = False) -> str:
    """An IPv4 address, an IPv6 one in brackets (which `bare_ipv6` adds where they lack), or a host name.

    `unspecified`: also 0.0.0.0 and [::], which are the start of a network.

    Refused, because Kamailio loads them as something else: 127.0.0.256 (its octets wrap), 0.0.0.0 and [::] (nobody),
    1.2.3 and 0x7f.1 (libc makes addresses of them). [kamailio-facts.md, 2; RFC 1123 2.1; RFC 3261 25.1]
    """
    allowed = "an IPv4 address, an IPv6 address in brackets, or a host name"
    if not isinstance(value, str) or not value:
        raise BadValue(field, value, allowed)
    if value.startswith("[") and value.endswith("]"):
        return f"[{_ipv6(value[1:-1], value, field, unspecified)}]"
    if bare_ipv6 and ":" in value and _BARE_IPV6.fullmatch(value):
        return f"[{_ipv6(value, value, field, unspecified)}]"
    if _IPV4.fullmatch(value):
        octets = [int(octet) for octet in value.split(".")]
        if max(octets) > 255:
            raise BadValue(field, value, "octets from 0 to 255")
        if not any(octets) and not unspecified:
            raise BadValue(field, value, "an address of one host")
        return value
    if not _NAME.fullmatch(value) or _NUMERIC_END.fullmatch(value):
        raise BadValue(field, value, allowed)
    return value


def _ipv6(text: str, value: str, field: str, unspecified: bool) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise BadValue(field, value, "an IPv6 address in brackets") from None
    if "%" in text:
        raise BadValue(field, value, "an IPv6 address without a zone")
    if address.is_unspecified and not unspecified:
        raise BadValue(field, value, "an address of one host")
    if "." in text or text.count(":") > 7:
        # str2ip6 takes these for no address
        raise BadValue(field, value, "an IPv6 address of hexadecimal groups and at most 7 colons")
    return text
