"""dispatcher: the destinations of ds_select_dst, in a list file (modparam dispatcher list_file).

Sources: src/modules/dispatcher/dispatch.c of Kamailio 5.6 (ds_load_list, pack_dest, ds_set_attrs) and dispatcher.c
(ds_rpc_print_set); what was tried: ../shared/kamailio-facts.md section 2 and docs/findings.md.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import groupby

from consul_kam.core import replies
from consul_kam.core.attrs import check_attrs, read_attrs
from consul_kam.core.dataset import Ask, Dataset, Gap, SetKey, States, Window
from consul_kam.core.grammar import INT_MAX, PORT, BadValue, Choice, Number, Text, entry, is_literal, read_host
from consul_kam.core.jsonlines import Common, Fields, JsonLines
from consul_kam.core.ports import Struct, Value
from consul_kam.core.records import Host, Key, Memory, Record, Seen, Share, Source, Use
from consul_kam.core.sip_uri import TRANSPORTS, SipUri, host_of, read_bare_uri, read_uri
from consul_kam.core.weights import Settled
from consul_kam.core.words import MAX_LINE, Word, Words, WordsReader, at, split

WHAT = "dispatcher.list"

INACTIVE, TRYING, DISABLED, PROBING, NO_DNS, NO_PING = 1, 2, 4, 8, 16, 32
_HIDDEN = INACTIVE | TRYING
"""What a disabled destination has no use for: FLAGS would show the I before the D, and nobody could see the D."""
_STATE_BITS = {"A": 0, "I": INACTIVE, "T": TRYING, "D": DISABLED}

SETID = Number("setid", 0, INT_MAX, "ds_load_list: digits, wraps beyond an int")
FLAGS = Number("flags", 0, 63, "dispatch.h DS_*_DST; 32 from 5.8 on, unused before")
PRIORITY = Number("priority", 0, INT_MAX, "ds_load_list: digits, wraps beyond an int")
SCHEME = Choice("scheme", ("sip", "sips"), "parse_uri.c")
TRANSPORT = Choice("transport", TRANSPORTS, "parse_uri.c")
WEIGHT = Number("weight", 1, 65535, "Consul API, Weights.Passing")
WEIGHT_AS = Choice("weight_as", ("rweight", "weight", "none"), "design.md 5")
SOCKET = Text("socket", re.compile(r"[A-Za-z0-9.:\[\]_-]{1,200}"), "PROTO:ADDRESS[:PORT]", "pack_dest, parse_phostport")
SOCKNAME = Text("sockname", re.compile(r"[A-Za-z0-9._-]{1,200}"), "letters, digits, dots and hyphens", "pack_dest")
ENTRY = entry("a dispatcher line without its setid")
ATTRS = {
    number.name: number
    for number in (
        Number("weight", 1, 100, "ds_set_attrs: else it counts as 0"),
        Number("rweight", 1, 100, "ds_set_attrs: else it counts as 0"),
        Number("maxload", 0, INT_MAX, "ds_set_attrs, str2sint: else it counts as 0, no limit"),
        *(Number(name, 0, INT_MAX, "ds_set_attrs, str2sint") for name in ("latency", "cc")),
        *(Number(name, 0, INT_MAX, "ds_set_attrs of 6.0") for name in ("ocmin", "ocmax", "ocrate")),
    )
}
KNOWN: dict[str, Number | None] = {**ATTRS, **dict.fromkeys(("duid", "socket", "sockname", "ping_from", "obproxy"))}

_MARKS = {Use.DRAINING: " # draining (consul-kam)", Use.DISABLED: " # disabled (consul-kam)"}
_MARKED = re.compile(rb"^(\d{1,10}) (\S+) .*(?: # draining| # disabled) \(consul-kam\)$", re.MULTILINE)
_LONGEST = MAX_LINE - len(_MARKS[Use.DRAINING]) - 1
"""Bytes of a canonical line: there is room left for one digit of flags and for our mark."""

_GLUED = re.compile(r"(\d+)(?=sips?:)", re.IGNORECASE | re.ASCII)
_DUID_UNSAFE = re.compile(r"[^A-Za-z0-9._~:@/!$&()*+|-]")


def _record(
    setid: int, uri: SipUri, flags: int | None, priority: int, attrs: str, common: Common, share: Share | None = None
) -> Record:
    """The record of checked values. `flags` None: look up nothing [kamailio-facts.md, 2]."""
    literal = is_literal(uri.host)
    if flags is None:
        flags = 0 if literal else NO_DNS
    use = Use.DISABLED if flags & DISABLED and common.use is Use.IN else common.use
    if use in _MARKS:
        flags &= ~_HIDDEN
    line = f"{setid} {uri.text} {flags & ~DISABLED} {priority} {attrs}".rstrip()
    if len(line) * 4 > _LONGEST and len(line.encode("utf-8", "surrogateescape")) > _LONGEST:
        raise BadValue("line", line, f"at most {_LONGEST} bytes, since one of ours may be {MAX_LINE} with its mark")
    return Record(
        key=(setid, uri.text),
        group=str(setid),
        seen=(priority, read_attrs(attrs)),
        line=line,
        sort=(setid, -priority, uri.text),
        use=use,
        host=None if flags & NO_DNS or literal else Host(uri.host),
        pinged_name=uri.host if flags & NO_DNS and not literal else "",
        source=common.source,
        part=common.part,
        share=share,
    )


def _from_words(setid: int, words: Sequence[Word], flags: int | None, priority: int, common: Common) -> Record:
    """URI [FLAGS [PRIORITY [ATTRS]]]; `flags` and `priority` are for where they are left out."""
    if not words:
        raise BadValue("URI", "", "SETID URI [FLAGS [PRIORITY [ATTRS]]]")
    uri = at(words[0], read_uri)
    flags = at(words[1], FLAGS.read) if len(words) > 1 else flags
    priority = at(words[2], PRIORITY.read) if len(words) > 2 else priority
    attrs = at(words[3], lambda word: check_attrs(word, KNOWN)) if len(words) > 3 else ""
    if len(words) > 4:
        raise BadValue("text behind attrs", words[4], "a comment: attrs hold no blanks", words[4].column)
    return _record(setid, uri, flags, priority, attrs, common)


def _from_line(line: str, part: str) -> Record | None:
    """One line of a list file, or of our own live files and releases."""
    words = split(line, open_words=4)
    if not words:
        return None
    glued = _GLUED.match(words[0])
    if glued:  # Kamailio needs no blank between setid and scheme
        column, end = words[0].column, glued.end()
        words[:1] = [Word(glued[1], column), Word(words[0][end:], column + end)]
    use = next((use for use, mark in _MARKS.items() if line.endswith(mark)), Use.IN)
    return _from_words(at(words[0], SETID.read), words[1:], 0, 0, Common(use, Source(), part))


def _from_fields(fields: Fields, common: Common) -> Record:
    """One object of our templates."""
    setid = SETID.read(fields.get("setid"))
    flags = FLAGS.read(value) if (value := fields.get("flags")) not in (None, "") else None
    priority = PRIORITY.read(value) if (value := fields.get("priority")) not in (None, "") else 10
    if (text := fields.get("entry")) is not None:
        return _from_words(setid, split(ENTRY.read(text), open_words=3), flags, priority, common)
    uri = _uri(fields)
    share = _share(fields)
    attrs = [*_duid(fields), *_weight(share), *_options(fields)]
    return _record(setid, uri, flags, priority, ";".join(attrs), common, share)


def _uri(fields: Fields) -> SipUri:
    host = read_host(fields.get("address"), bare_ipv6=True)
    scheme = SCHEME.read(fields.get("scheme") or "sip")
    port = f":{PORT.read(value)}" if (value := fields.get("port")) not in (None, "") else ""
    transport = f";transport={TRANSPORT.read(value)}" if (value := fields.get("transport")) else ""
    return SipUri(f"{scheme}:{host}{port}{transport}", host)


def _duid(fields: Fields) -> list[str]:
    """A service ID may be anything: what cannot stand in attrs is percent-encoded, so that the record is kept."""
    duid = fields.get("duid") or ""
    if not isinstance(duid, str):
        raise BadValue("duid", duid, "text")
    return [f"duid={_DUID_UNSAFE.sub(_percent, duid)}"] if duid else []


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace"))


def _share(fields: Fields) -> Share | None:
    name = WEIGHT_AS.read(fields.get("weight_as", "none"))
    return None if name == "none" else (name, WEIGHT.read(fields.get("weight", 1)))


def _weight(share: Share | None) -> list[str]:
    """The attribute as it is unless `settled` finds that the set needs another one."""
    return [f"{share[0]}={share[1]}"] if share and share[1] <= 100 else []


def _options(fields: Fields) -> list[str]:
    return [f"{name}={read(value)}" for name, read in _OPTIONS.items() if (value := fields.get(name)) not in (None, "")]


_OPTIONS: dict[str, Callable[[object], object]] = {
    "maxload": ATTRS["maxload"].read,
    "socket": SOCKET.read,
    "sockname": SOCKNAME.read,
    "ping_from": partial(read_bare_uri, field="ping_from"),
    "obproxy": partial(read_bare_uri, field="obproxy"),
}
"""What a service's meta may set [design.md 5: behind an allow-list]."""


def _reweighed(record: Record, name: str, value: int) -> Record:
    setid, uri, flags, priority, attrs = [*record.line.split(" "), ""][:5]
    others = [attr for attr in attrs.split(";") if attr and not attr.startswith(f"{name}=")]
    own = [f"{name}={value}"] if value else []
    duid = [attr for attr in others if attr.startswith("duid=")]
    text = ";".join([*duid, *own, *(attr for attr in others if attr not in duid)])
    line = f"{setid} {uri} {flags} {priority} {text}".rstrip()
    return replace(record, line=line, seen=(record.seen[0], read_attrs(text)))


def _line(record: Record, state: str, disabled: bool, ours: bool) -> str:
    """The line that loads with this state (FLAGS of dispatcher.list) [dispatch.h; docs/findings.md, Flags]."""
    line = _loads(record.line, state, disabled)
    return line + _MARKS.get(record.use, _MARKS[Use.DRAINING]) if ours else line


@lru_cache(maxsize=16_384)
def _loads(line: str, state: str, disabled: bool) -> str:
    setid, uri, flags, rest = line.split(" ", 3)
    bits = before = int(flags)
    if state:
        bits = bits & (NO_DNS | NO_PING) | _STATE_BITS.get(state[0], 0) | (PROBING if "P" in state else 0)
    if disabled:
        bits = bits & ~_HIDDEN | DISABLED
    return line if bits == before else f"{setid} {uri} {bits} {rest}"


def _carry(state: str, enable: bool) -> str:
    """A state rides as it is, but for the D that was ours and ends."""
    return f"A{state[1:]}" if enable and state.startswith("D") else state


def _ours(data: bytes) -> frozenset[Key]:
    marked = _MARKED.findall(data) if b"(consul-kam)" in data else ()
    return frozenset((int(setid), uri.decode(errors="surrogateescape")) for setid, uri in marked)


def _in_file_order(records: Sequence[Record]) -> Sequence[Record]:
    """Kamailio turns round what has the same set and priority [add_dest2list, reindex_dests]."""
    return [r for _, same in groupby(records, key=lambda r: r.sort[:2]) for r in reversed(list(same))]


_put_back: Callable[[Key, str], Ask] = lambda key, word: Ask("dispatcher.set_state", (word, *key))  # noqa: E731


class _Decoder:
    """dispatcher.list -> memory. A DEST or a reply that comes again as the same object costs one look-up."""

    def __init__(self) -> None:
        self._known: dict[int, dict[int, tuple[Value, Seen]]] = {}
        self._last: tuple[tuple[Value, ...], Memory] = ((), ())

    def __call__(self, answers: Sequence[tuple[Value, ...]]) -> Memory:
        return self.one(answers[0])

    def one(self, reply: tuple[Value, ...]) -> Memory:
        if reply is not self._last[0]:
            self._last = (reply, self._decode(reply) if reply else ())
        return self._last[1]

    def _decode(self, reply: tuple[Value, ...]) -> Memory:
        sets: list[tuple[int, Struct]] = []
        for _, value in replies.struct(replies.members(reply[0], WHAT).get("RECORDS", ""), WHAT):
            found = replies.members(value, WHAT)
            sets.append((replies.number(found, "ID", WHAT), replies.struct(found.get("TARGETS", ""), WHAT)))
        known, self._known = self._known, {}
        memory: list[Seen] = []
        for setid, dests in sorted(sets):
            before = known.get(setid, {})  # which keeps what it knows alive: no other object has its id
            pairs = [before.get(id(dest)) or (dest, _seen(setid, dest)) for _, dest in dests]
            self._known.setdefault(setid, {}).update({id(pair[0]): pair for pair in pairs})
            memory += [pair[1] for pair in pairs]
        return tuple(memory)


def _seen(setid: int, dest: Value) -> Seen:
    found = replies.members(dest, WHAT)
    state = replies.text(found, "FLAGS", WHAT).strip()
    attrs = replies.text(replies.members(found["ATTRS"], WHAT), "BODY", WHAT) if "ATTRS" in found else ""
    priority = replies.number(found, "PRIORITY", WHAT)
    return Seen((setid, replies.text(found, "URI", WHAT)), (priority, read_attrs(attrs)), state, "D" in state)


def _less(record: Record, state: str) -> bool:
    """6.0 pings nothing with flag 16 or 32: what lost them by being found dead stays so if it is loaded with them."""
    return state == "IP" and bool(int(record.line.split(" ", 3)[2]) & (NO_DNS | NO_PING))


TIERS = "10; where any instance has the tag `primary`, 5 for those without"
WEIGHTS = "What `Weights.Passing` becomes: `rweight` (algorithm 11), `weight` (9, scaled to 100), or nothing."

DATASET = Dataset(
    name="dispatcher",
    file_doc="Kamailio's list_file",
    usual_file="/etc/kamailio/dispatcher.list",
    set_doc="A source of destinations.",
    set_keys=(
        SetKey("setid", SETID, 1, "Set of Kamailio's dispatcher."),
        SetKey("priority", PRIORITY, None, "Priority of each record.", TIERS),
        SetKey("weight_as", WEIGHT_AS, "rweight", WEIGHTS),
    ),
    first_set={"service": "router"},
    notation=Words(),
    parse_staging=JsonLines("dispatcher", _from_fields),
    parse_native=WordsReader(_from_line),
    line=_line,
    ours=_ours,
    in_file_order=_in_file_order,
    host=lambda key: host_of(str(key[1])),
    reload=Ask("dispatcher.reload"),
    readback=(Ask(WHAT, empty=((500, "No Destination Sets"),)),),
    decode=_Decoder(),
    window=Window(5.0, ("ongoing reload",)),
    gap=Gap(0.1, 0.0005),
    ordered=True,
    settled=Settled(_reweighed),
    inactivate=lambda key: _put_back(key, "ip"),
    active=lambda state: state.startswith("A"),
    carry=_carry,
    states=States(Ask(WHAT, ("short",)), _Decoder().one, _put_back, _less),
    unverifiable={
        "flags": "Kamailio shows neither the bit for no DNS look-up (16) nor, before 6.0, the one for no ping (32)",
        "address": "dispatcher.list does not show what a host name was looked up to",
    },
)
