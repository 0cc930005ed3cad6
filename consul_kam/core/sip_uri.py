"""The SIP URIs that Kamailio's lists hold."""

import re
from dataclasses import dataclass

from consul_kam.core.grammar import PORT, BadValue, read_host

TRANSPORTS = ("udp", "tcp", "tls", "sctp", "ws", "wss")
"""What Kamailio knows [parse_uri.c]; it loads any other word, and then cannot send."""

_ESCAPED = "%[0-9A-Fa-f]{2}"
_UNRESERVED = r"A-Za-z0-9\-_.!~*'()"
# RFC 3261 25.1: userinfo, hostport, uri-parameters (empty ones tolerated), headers
_URI = re.compile(
    rf"(?P<scheme>sips?:)"
    rf"(?:(?:[{_UNRESERVED}&=+$,;?/]|{_ESCAPED})+(?::(?:[{_UNRESERVED}&=+$,]|{_ESCAPED})*)?@)?"
    rf"(?P<host>\[[^]@;?]*]|[^][:;?@&]*)"
    rf"(?::(?P<port>\d{{0,5}}))?"  # none: the default port; Kamailio drops more than five digits
    rf"(?P<params>(?:;(?:[{_UNRESERVED}\[\]/:&+$=]|{_ESCAPED})*)*)"
    rf"(?:\?(?:[{_UNRESERVED}\[\]/?:+$&=]|{_ESCAPED})*)?",
    re.IGNORECASE | re.ASCII,
)
_TRANSPORT = re.compile(r";transport=([^;]*)", re.IGNORECASE)
# a scheme of some other kind, which Kamailio's parse_uri would take or mistake for a host
_FOREIGN = re.compile(r"(?:tel|urn|[a-z][a-z0-9+.-]*:/).*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SipUri:
    """A URI as Kamailio will show it, and its host."""

    text: str
    host: str


def read_uri(value: str) -> SipUri:
    """Read a SIP or SIPS URI; "sip:" goes before one without a scheme, as Kamailio does [dispatch.c, pack_dest]."""
    text = value
    if not re.match("sips?:", value, re.IGNORECASE):
        if len(value) <= 4:  # Kamailio prepends from five characters on
            raise BadValue("URI", value, "sip:HOST[:PORT]")
        text = f"sip:{value}"
    match = _URI.fullmatch(text)
    if match is None or (text is not value and _FOREIGN.fullmatch(value)):
        raise BadValue("URI", value, "sip:[USER@]HOST[:PORT][;PARAMS], IPv6 in brackets")
    host = read_host(match["host"], "host")
    if match["port"]:
        PORT.read(match["port"])
    for transport in _TRANSPORT.findall(match["params"]):
        if transport.lower() not in TRANSPORTS:
            raise BadValue("transport", transport, ", ".join(TRANSPORTS))
    return SipUri(text, host)


def host_of(uri: str) -> str:
    """The host of a URI as Kamailio shows it; "" where it is none of ours."""
    match = _URI.match(uri)
    return match["host"] if match is not None else ""


def read_bare_uri(value: object, field: str) -> str:
    """A URI that can stand in dispatcher's attrs, where a ";" would end it. Raises BadValue."""
    if not isinstance(value, str) or ";" in value or "," in value:
        raise BadValue(field, value, "a SIP URI without parameters")
    try:
        return read_uri(value).text
    except BadValue as bad:
        bad.field = field
        raise
