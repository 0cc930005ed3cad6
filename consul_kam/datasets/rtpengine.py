"""rtpengine: the media relays (modparam rtpengine db_url "text://DIR", table rtpengine).

Sources: src/modules/rtpengine/rtpengine_db.c (rtpp_load_db) and rtpengine.c (add_rtpengine_socks, build_rtpp_socks,
add_rtpp_node_info) of Kamailio 5.6 and 6.0; what was tried: ../shared/kamailio-facts.md section 5 and docs/findings.md.

A draining node has weight 0: it gets no new calls, and those that it has go on, which `disabled` 1 breaks unless
rtpengine_allow_op is set (docs/findings.md, "An rtpengine that leaves"). `disabled` is the operator's own and rides;
`stamp` has no meaning to Kamailio; 1 there says that weight 0 is ours.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from consul_kam.core import replies
from consul_kam.core.dataset import Ask, Dataset, Gap, SetKey, Window, same_place
from consul_kam.core.dbtext import Column, DbText, DbTextReader, Row, escape
from consul_kam.core.grammar import INT_MAX, PORT, BadValue, Choice, Number, entry, is_literal, read_host
from consul_kam.core.jsonlines import Common, Fields, JsonLines
from consul_kam.core.ports import Value
from consul_kam.core.records import Host, Key, Memory, Record, Seen, Source, Use

WHAT = "rtpengine.show"
PERMANENT = "1(permanent)"
"""How rtpengine.show of 5.6 tells "disabled by the table or by an operator" from "does not answer" (1). 6.0 says for
the first `disabled` 1, and for the second `disabled` 0 and `active` 0: here both read as 5.6 has it."""

SETID = Number("setid", 0, INT_MAX, "rtpp_load_db: an int, wraps beyond")
WEIGHT = Number("weight", 0, INT_MAX, "rtpp_load_db: an int, wraps beyond")
DISABLED = Number("disabled", 0, 1, "rtpp_load_db")
PROTO = Choice("proto", ("udp", "udp6", "ws", "wss"), "add_rtpengine_socks")
WEIGHT_AS = Choice("weight_as", ("weight", "none"), "docs/templates.md")
ENTRY = entry("URL [WEIGHT]")

_ALLOWED = "udp:HOST[:PORT], udp6:[IPV6][:PORT], unix:PATH, ws://HOST[:PORT][/PATH] or wss://..."
_URL = re.compile(r"(?P<proto>udp:|udp6:|unix:|wss?://)(?P<rest>[^\x00-\x20\x7f\ud800-\udfff]{1,255})", re.IGNORECASE)
_HOST_PORT = re.compile(r"(?P<host>\[[^]]*]|[^:/\[]*)(?::(?P<port>\d+))?(?P<path>/.*)?", re.ASCII)


def read_url(value: object) -> str:
    """A URL that Kamailio keeps as it is; it drops other schemes and ports, and what follows a blank."""
    match = _URL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadValue("url", value, _ALLOWED)
    proto = match["proto"].lower()
    if proto != "unix:":
        _check_host(match[0], proto, match["rest"])
    return match[0]


def _check_host(url: str, proto: str, rest: str) -> None:
    place = _HOST_PORT.fullmatch(rest)
    if place is None or (place["path"] and proto.startswith("udp")):
        raise BadValue("url", url, _ALLOWED)
    try:
        host = read_host(place["host"], "host")
        if place["port"]:
            PORT.read(place["port"])
    except BadValue as bad:
        bad.field = "url"
        raise
    if proto == ("udp:" if host.startswith("[") else "udp6:") and is_literal(host):
        raise BadValue("url", url, "udp: before an IPv4 address, udp6: before an IPv6 one")


def _host(key: Key) -> str:
    place = _HOST_PORT.fullmatch(str(key[1]).partition(":")[2].removeprefix("//"))
    return place["host"] if place is not None and not str(key[1]).lower().startswith("unix:") else ""


def _needed(url: str) -> Host | None:
    """What a load looks up, and connects a socket to. One that fails is tried again by every call and every
    `rtpengine.show`, each of which shuts the window of 10 s anew: nobody's change gets in any more [build_rtpp_socks].
    Anybody can register a name that does not exist, one of IPv6 only, or a broadcast address."""
    proto, _, rest = url.partition(":")
    place = _HOST_PORT.fullmatch(rest) if proto.lower() in ("udp", "udp6") else None
    return Host(place["host"], 6 if proto.endswith("6") else 4) if place is not None else None


def _record(setid: int, url: str, weight: int, common: Common) -> Record:
    return Record(
        key=(setid, url),
        group=str(setid),
        seen=(weight,),
        line=f"0:{setid}:{escape(url)}:{weight}:0:0",
        sort=(setid, url),
        use=common.use,
        host=_needed(url),
        source=common.source,
        part=common.part,
    )


def _from_row(row: Row, part: str) -> Record:
    setid, weight = row.number(SETID), row.number(WEIGHT)
    use = Use.DISABLED if row.number(DISABLED) else Use.IN
    if weight == 0 and row.has("stamp") and row.text("stamp") == "1":
        use = Use.DRAINING
    return _record(setid, read_url(row.text("url")), weight, Common(use, Source(), part))


def _from_fields(fields: Fields, common: Common) -> Record:
    setid = SETID.read(fields.get("setid", 0))
    url: object = fields.get("url")
    weight: object = fields.get("weight", 1)
    if WEIGHT_AS.read(fields.get("weight_as", "weight")) == "none":
        weight = 1
    if "entry" in fields:
        words = ENTRY.read(fields["entry"]).split()
        if len(words) not in (1, 2):
            raise BadValue("entry", fields["entry"], ENTRY.allowed)
        url, weight = words[0], words[1] if len(words) == 2 else 1
    return _record(setid, read_url(url) if url else _url(fields), WEIGHT.read(weight), common)


def _url(fields: Fields) -> str:
    host = read_host(fields.get("address"), bare_ipv6=True)
    proto = PROTO.read(fields.get("proto") or "udp")
    if proto == "udp" and host.startswith("["):
        proto = "udp6"
    port = f":{PORT.read(value)}" if (value := fields.get("port")) not in (None, "") else ""
    return f"{proto}:{'//' if proto.startswith('ws') else ''}{host}{port}"


def _line(record: Record, state: str, disabled: bool, ours: bool) -> str:
    """The row that loads with this state."""
    line = _disabled(record).line if disabled else record.line
    return f"{line.removesuffix('0:0')}{int(state == PERMANENT)}:{int(disabled and ours)}"


def _disabled(record: Record) -> Record:
    row, _, _ = record.line.rpartition(f":{record.seen[0]}:0:0")
    return replace(record, seen=(0,), line=f"{row}:0:0:0")


def _carry(state: str, enable: bool) -> str:
    return state if state == PERMANENT else ""


def _decode(answers: Sequence[tuple[Value, ...]]) -> Memory:
    """rtpengine.show all -> memory. Its `disabled` is a state (an operator's word, or health), weight 0 is content."""
    (reply,) = answers
    return tuple(_seen(replies.members(row, WHAT)) for row in reply)


def _seen(row: Mapping[str, Value]) -> Seen:
    key = replies.number(row, "set", WHAT), replies.text(row, "url", WHAT)
    weight = replies.number(row, "weight", WHAT)
    return Seen(key, (weight,), _state(row), weight == 0)


def _state(row: Mapping[str, Value]) -> str:
    """ "0", "1" (does not answer) or PERMANENT."""
    disabled = replies.text(row, "disabled", WHAT)
    if "active" not in row:
        return disabled
    return PERMANENT if disabled == "1" else str(int(replies.text(row, "active", WHAT) == "0"))


_READER = DbTextReader(
    "rtpengine",
    (
        Column("setid", ("int", "time")),
        Column("url", ("string", "str")),
        Column("weight", ("int", "time")),
        Column("disabled", ("int", "time")),
    ),
    _from_row,
)


def _ours(data: bytes) -> frozenset[Key]:
    if not data.strip():
        return frozenset()
    return frozenset(record.key for record in _READER("live file", data).records if record.use is Use.DRAINING)


DATASET = Dataset(
    name="rtpengine",
    file_doc="the db_text table `rtpengine`",
    set_doc="A source of RTPEngine nodes.",
    set_keys=(
        SetKey("setid", SETID, 0, "Set of Kamailio's rtpengine module."),
        SetKey("port", PORT, None, "Port of the ng protocol.", "the service's"),
        SetKey("proto", PROTO, "udp", "Transport of the ng protocol."),
        SetKey("weight_as", WEIGHT_AS, "weight", "What `Weights.Passing` becomes."),
    ),
    first_set={"service": "rtp"},
    notation=DbText(
        "id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)", versions={"rtpengine": 1}
    ),
    parse_staging=JsonLines("rtpengine", _from_fields),
    parse_native=_READER,
    line=_line,
    ours=_ours,
    in_file_order=same_place,
    host=_host,
    reload=Ask("rtpengine.reload"),
    readback=(Ask(WHAT, ("all",), empty=((500, "Initializing - try later"),)),),
    decode=_decode,
    window=Window(
        10.0,
        ("too short reload interval",),
        longer="a node is loaded that no socket connects to (take it out of Consul, restart Kamailio)",
    ),
    gap=Gap(0.1),
    active=lambda state: state == "0",
    carry=_carry,
    as_disabled=_disabled,
    unverifiable={
        "order": "a node that is known keeps its place over a reload",
        "health": "disabled 1 (6.0: active 0): does not answer",
    },
)
