"""domain: the domains that are local to this Kamailio (modparam domain db_url "text://DIR", table domain).

Sources: src/modules/domain/domain.c of Kamailio 5.6 (reload_tables), hash.c (case does not count), domain_mod.c
(domain.dump); what was tried: ../shared/kamailio-facts.md section 4 and docs/findings.md.
"""

import re
from collections.abc import Sequence

from consul_kam.core import replies
from consul_kam.core.dataset import Ask, Dataset, Gap, same_place
from consul_kam.core.dbtext import Column, DbText, DbTextReader, Row, escape
from consul_kam.core.grammar import BadValue, Text, entry, read_host
from consul_kam.core.jsonlines import Common, Fields, JsonLines
from consul_kam.core.ports import Value
from consul_kam.core.records import Key, Memory, Record, Seen, Source, Use

WHAT = "domain.dump"
DID = Text(
    "did",
    re.compile(r"[^\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]{1,4096}"),
    "1 to 4096 characters, no control ones",
    "domain.c: any string; db_text: a field ends at 16 kB",
)
ENTRY = entry("DOMAIN [DID]")


def _record(domain: str, did: str, common: Common) -> Record:
    return Record(
        key=(domain.lower(),),
        group="",
        seen=(did,),
        line=f"0:{escape(domain)}:{escape(did)}:0",
        sort=(domain.lower(),),
        use=common.use,
        source=common.source,
        part=common.part,
    )


def _from_row(row: Row, part: str) -> Record:
    """A domain without did is its own [reload_tables]."""
    domain = read_host(row.text("domain"), "domain")
    did = row.text("did")
    return _record(domain, DID.read(did) if did else domain, Common(Use.IN, Source(), part))


def _from_fields(fields: Fields, common: Common) -> Record:
    domain, did = fields.get("domain"), fields.get("did")
    if "entry" in fields:
        domain, did, *rest = [*ENTRY.read(fields["entry"]).split(), "", ""]
        if any(rest):
            raise BadValue("entry", fields["entry"], ENTRY.allowed)
    host = read_host(domain, "domain", bare_ipv6=True)
    return _record(host, host if did in (None, "", domain) else DID.read(did), common)


def _decode(answers: Sequence[tuple[Value, ...]]) -> Memory:
    """domain.dump -> memory, in the order of Kamailio's hash."""
    (reply,) = answers
    if not reply:
        return ()
    found = replies.struct(replies.members(reply[0], WHAT).get("domains", ""), WHAT)
    rows = [replies.members(row, WHAT) for _, row in found]
    return tuple(Seen((replies.text(r, "domain", WHAT).lower(),), (replies.text(r, "did", WHAT),)) for r in rows)


def _line(record: Record, state: str, disabled: bool, ours: bool) -> str:
    return record.line


def _ours(data: bytes) -> frozenset[Key]:
    return frozenset()


DATASET = Dataset(
    name="domain",
    file_doc="the db_text table `domain`",
    first_set={"service": "router"},
    notation=DbText(
        "id(int,auto) domain(string) did(string) last_modified(int)",
        versions={"domain": 2, "domain_attrs": 1},
        beside={"domain_attrs": b"id(int,auto) did(string) name(string) type(int) value(string) last_modified(int)\n"},
    ),
    parse_staging=JsonLines("domain", _from_fields, disables=False),
    parse_native=DbTextReader(
        "domain", (Column("domain", ("string",)), Column("did", ("string",), null=True)), _from_row
    ),
    line=_line,
    ours=_ours,
    in_file_order=same_place,
    host=lambda key: str(key[0]),
    reload=Ask("domain.reload"),
    readback=(Ask(WHAT),),
    decode=_decode,
    gap=Gap(0.1),
    unverifiable={"order": "domain.dump follows a hash; the order of domains has no meaning to Kamailio"},
)
