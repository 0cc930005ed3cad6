"""address: who is let in by allow_address and allow_source_address (modparam permissions address_file).

Sources: src/modules/permissions/address.c of Kamailio 5.6 (reload_address_file_table, reload_address_insert; the same
in 6.0), hash.c (three tables and their dumps), rpc.c (rpc_check_reload); src/core/resolve.c (str2ipbuf, str2ip6buf).
What was tried: docs/findings.md, "permissions".

Kamailio keeps hosts, networks and names in three tables. A name is compared as text with what the config asks for and
never looked up: a service has to give an IP address here.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_network

from consul_kam.core import replies
from consul_kam.core.dataset import Ask, Dataset, Gap, SetKey, Window
from consul_kam.core.grammar import INT_MAX, PORT, BadValue, Choice, Number, Text, entry, is_literal, read_host
from consul_kam.core.jsonlines import Common, Fields, JsonLines
from consul_kam.core.ports import Value
from consul_kam.core.records import Key, Memory, Record, Seen, Source, Use
from consul_kam.core.words import MAX_LINE, Word, Words, WordsReader, at, split

HOSTS, NETWORKS, NAMES = "permissions.addressDump", "permissions.subnetDump", "permissions.domainDump"

GROUP = Number("group", 0, INT_MAX, "PERM_FADDR_PARSENUM wraps beyond unsigned; allow_address takes an int")
MASK = Number("mask", 0, 32, "reload_address_insert: 0 is 32; more fails the whole load")
MASK6 = Number("mask", 0, 128, "reload_address_insert: 0 is 128; more fails the whole load")
NAME_MASK = Number("mask", 0, 10**20, "reload_address_insert: without meaning for a name")
ANY_PORT = Number("port", 0, 65535, "match_addr_hash_table: 0 is any; no packet comes from more; wraps beyond unsigned")
TAG = Text("tag", re.compile(r"[^\x00-\x20\x7f#\ud800-\udfff]+"), "text without blanks and #", "PERM_FADDR_PARSESTR")
FROM = Choice("port", ("any", "service"), "docs/templates.md")
MIN_PREFIX = Number("min_prefix", 0, 32, "docs/templates.md")
MIN_PREFIX6 = Number("min_prefix6", 0, 128, "docs/templates.md")
WIDEST, WIDEST6 = 24, 64
"""The widest network that anything from Consul opens unless its set says otherwise."""
ENTRY = entry("ADDRESS [MASK [PORT [TAG]]]")

NO_TAG = "NULL"
"""What the dumps of hosts and of names show for no tag; that of networks shows nothing [hash.c]."""
_GLUED = re.compile(r"(\d+)(?=\[)", re.ASCII)
_LINE = "GROUP ADDRESS [MASK [PORT [TAG]]]"


def _address(value: object, own: bool) -> str:
    """An address as Kamailio will show it, or a name. What it takes for another host or a name of no use is refused.

    `own`: it is the one address of an instance, neither the start of a network nor a name.
    """
    if isinstance(value, str) and "/" in value:
        raise BadValue("address", value, "an address, and its mask as a word of its own: with a slash it is but a name")
    text = read_host(value, bare_ipv6=True, unspecified=not own)
    if text.startswith("["):
        return _ipv6(text[1:-1])
    if is_literal(text):
        return ".".join(str(int(octet)) for octet in text.split("."))  # str2ipbuf: 010 is ten
    if own:
        raise BadValue("address", value, "an IP address: permissions looks no name up")
    return text


@lru_cache(maxsize=4096)
def _ipv6(text: str) -> str:
    """One spelling for all; the mapped ones in full, because newer Pythons end them like IPv4, a name to str2ip6buf."""
    address = IPv6Address(text)
    return address.packed.hex(":", 2) if address.ipv4_mapped else str(address)


@lru_cache(maxsize=4096)
def _network(address: str, mask: int) -> str:
    """The address without its host bits: Kamailio keeps them and looks past them [ip_addr_match_net]."""
    first = str(ip_network((address, mask), strict=False).network_address)
    return _ipv6(first) if ":" in first else first


def _record(group: int, address: str, mask: object, port: int, tag: str, common: Common) -> Record:
    """`mask` is a value to be checked; 0 is the whole address, as for Kamailio, and stays 0 for a name."""
    length = 128 if ":" in address else 32 if is_literal(address) else 0
    prefix = {0: NAME_MASK, 32: MASK, 128: MASK6}[length].read(mask) if mask != "" else 0
    if prefix == 0 and address in ("0.0.0.0", "::"):
        raise BadValue("mask", mask, f"1 to {length}: Kamailio takes 0 for {length}, which is one host")
    prefix = (prefix or length) if length else 0
    address = _network(address, prefix) if prefix < length else address
    line = f"{group} {address} {prefix} {port} {tag}".rstrip(" ")
    if len(line.encode("utf-8", "surrogateescape")) > MAX_LINE:
        raise BadValue("line", line, f"at most {MAX_LINE} bytes")
    return Record(
        key=(group, address, prefix, port),
        group=str(group),
        seen=("" if tag == NO_TAG else tag,),
        line=line,
        # what is more particular comes first
        sort=(group, -prefix, address, int(port == 0), port),
        use=common.use,
        source=common.source,
        part=common.part,
    )


def _from_words(group: int, words: Sequence[Word], tag: str, common: Common) -> Record:
    """ADDRESS [MASK [PORT [TAG]]]; `tag` is for where it is left out."""
    if not words:
        raise BadValue("ADDRESS", "", _LINE)
    address = at(words[0], lambda word: _address(word, own=False))
    port = at(words[2], ANY_PORT.read) if len(words) > 2 else 0
    tag = words[3] if len(words) > 3 else tag
    if len(words) > 4:
        raise BadValue("text behind tag", words[4], "a comment: a tag holds no blanks", words[4].column)
    mask = words[1] if len(words) > 1 else Word("", words[0].column)
    return at(mask, lambda word: _record(group, address, word, port, tag, common))


def _from_line(line: str, part: str) -> Record | None:
    """One line of an address_file, or of our own live files and releases."""
    words = split(line, open_words=5)
    if not words:
        return None
    glued = _GLUED.match(words[0])
    if glued:  # Kamailio needs no blank between group and bracket
        column, end = words[0].column, glued.end()
        words[:1] = [Word(glued[1], column), Word(words[0][end:], column + end)]
    return _from_words(at(words[0], GROUP.read), words[1:], "", Common(Use.IN, Source(), part))


def _from_fields(fields: Fields, common: Common) -> Record:
    """One object of our templates."""
    group, tag = GROUP.read(fields.get("group")), fields.get("tag") or ""
    tag = TAG.read(tag) if tag else ""
    if (text := fields.get("entry")) is not None:
        record = _from_words(group, split(ENTRY.read(text), open_words=4), tag, common)
    else:
        port = PORT.read(fields["port"]) if "port" in fields else 0
        address = _address(fields.get("address"), own=True)
        record = _record(group, address, fields.get("mask") or "", port, tag, common)
    return _bounded(record, fields)


def _bounded(record: Record, fields: Fields) -> Record:
    """Nothing from Consul opens more than its set allows; a template that says nothing allows the usual."""
    _, address, prefix, _ = record.key
    name, rule, usual = (
        ("min_prefix6", MIN_PREFIX6, WIDEST6) if ":" in str(address) else ("min_prefix", MIN_PREFIX, WIDEST)
    )
    least = rule.read(fields.get(name, usual))
    if prefix and int(prefix) < least:
        raise BadValue("mask", prefix, f"{least} or more from Consul: {name} of the set is {least}")
    return record


def _in_file_order(records: Sequence[Record]) -> Sequence[Record]:
    """A host's newest line is found first, a network's oldest one of its group [addr_hash_table_insert, subnet_...]."""
    networks = [record for record in records if _is_network(record.key)]
    return [*networks, *(record for record in reversed(records) if not _is_network(record.key))]


def _is_network(key: Key) -> bool:
    return key[2] not in (0, 128 if ":" in str(key[1]) else 32)


def _decode(answers: Sequence[tuple[Value, ...]]) -> Memory:
    """The three dumps -> memory. Members `table` and `id` are places in Kamailio's memory, of no meaning here."""
    hosts, networks, names = answers
    seen = [_host(*_item(replies.members(value, HOSTS), HOSTS)) for value in hosts]
    seen += [_subnet(*_item(replies.members(value, NETWORKS), NETWORKS)) for value in networks]
    repeated = [found for value in names for found in replies.repeated(value, ("group", "item"), NAMES)]
    return (*seen, *(_name(*_item(found, NAMES)) for found in repeated))


def _item(found: Mapping[str, Value], what: str) -> tuple[int, Mapping[str, Value]]:
    return replies.number(found, "group", what), replies.members(found.get("item", ""), what)


def _host(group: int, item: Mapping[str, Value]) -> Seen:
    address = replies.text(item, "ip", HOSTS)
    length = 128 if ":" in address else 32
    return _seen(group, _shown(address, length), length, item, HOSTS)


def _subnet(group: int, item: Mapping[str, Value]) -> Seen:
    mask = replies.number(item, "mask", NETWORKS)
    return _seen(group, _shown(replies.text(item, "ip", NETWORKS), mask), mask, item, NETWORKS)


def _name(group: int, item: Mapping[str, Value]) -> Seen:
    return _seen(group, replies.text(item, "domain_name", NAMES), 0, item, NAMES)


def _seen(group: int, address: str, mask: int, item: Mapping[str, Value], what: str) -> Seen:
    tag = replies.text(item, "tag", what)
    return Seen((group, address, mask, replies.number(item, "port", what)), ("" if tag == NO_TAG else tag,))


@lru_cache(maxsize=65536)
def _shown(address: str, mask: int) -> str:
    """One spelling for all; what is no address stays as it is, and equals none of ours."""
    try:
        return _network(address, mask)
    except ValueError:
        return address


def _line(record: Record, state: str, disabled: bool, ours: bool) -> str:
    return record.line


def _ours(data: bytes) -> frozenset[Key]:
    return frozenset()


DATASET = Dataset(
    name="address",
    file_doc="the address_file of permissions",
    set_doc="A source of addresses that are let in.",
    set_keys=(
        SetKey("group", GROUP, 1, "Group of permissions, the one that `allow_source_address` asks for."),
        SetKey("port", FROM, "any", "Source port that is let in: any, or the service's own."),
        SetKey(
            "min_prefix", MIN_PREFIX, WIDEST, "Widest IPv4 network that Consul may open; `static` is not bound by it."
        ),
        SetKey("min_prefix6", MIN_PREFIX6, WIDEST6, "Widest IPv6 network that Consul may open."),
    ),
    first_set={"service": "router"},
    notation=Words(),
    parse_staging=JsonLines("address", _from_fields, disables=False),
    parse_native=WordsReader(_from_line),
    line=_line,
    ours=_ours,
    in_file_order=_in_file_order,
    host=lambda key: f"{key[1]}/{key[2]}" if key[2] else str(key[1]),
    reload=Ask("permissions.addressReload"),
    readback=(Ask(HOSTS), Ask(NETWORKS), Ask(NAMES)),
    decode=_decode,
    window=Window(5.0, ("ongoing reload",)),
    gap=Gap(0.1),
    unverifiable={
        "order": "the dumps follow a hash; it matters only where entries with other tags or groups overlap",
        "host bits": "Kamailio shows those of a network and looks past them",
        "tag": "one that is called NULL looks like none",
    },
)
