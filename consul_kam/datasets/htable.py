"""htable: keys and values for the configuration script, $sht(NAME=>key), in a hash table of their own (db_text).

Sources: src/modules/htable/ht_db.c (ht_db_load_table), htable.c (htable_rpc_dump, _sets, _seti, _delete, _reload) and
ht_api.c of Kamailio 5.6; what was tried: docs/findings.md, "htable". `htable` is the table of that name,
`htable:carriers` the one named carriers. A reload swaps slot by slot, readers lock the slot and copy: no gap is needed.
"""

import re
from collections.abc import Sequence

from consul_kam.core import replies
from consul_kam.core.dataset import Ask, ByKey, Dataset, SetKey, same_place
from consul_kam.core.dbtext import Column, DbText, DbTextReader, Row, escape
from consul_kam.core.grammar import INT_MAX, PORT, BadValue, Choice, Text, entry, read_host
from consul_kam.core.jsonlines import Common, Fields, JsonLines
from consul_kam.core.ports import Value
from consul_kam.core.records import Key, Memory, Record, Seen, Source, Use

WHAT = "htable.dump"
_TEXT = r"(?![][{}]\Z)[^\x00-\x1f\x7f\ud800-\udc7f\udd00-\udfff]"
"""No control character: a value may end in a SIP header. No bracket alone: kamcmd shows no difference to a struct."""
NAME = Text("table", re.compile(r"[A-Za-z0-9_-]{1,64}"), "1 to 64 letters, digits, _ or -", "ht_api.c, ht_table_spec")
KEY = Text(
    "key", re.compile(_TEXT + "{1,255}"), "1 to 255 characters, no control ones, no lone bracket", "ht_db_load_table"
)
VALUE = Text(
    "value",
    re.compile(_TEXT + "{1,1024}"),
    "1 to 1024 characters, no control ones, no lone bracket",
    "ht_db_load_table: an empty one fails the load; htable.dump carries no value of 16 kB",
)
TYPE = Choice("type", ("str", "int"), "ht_db_load_table: value_type 0 and 1; any other stores an address as a number")
ZERO = Choice("key_type", ("0",), "ht_db_load_table: 1 is an array; its keys may be written by hand, name[0]")
FROM = Choice("key", ("id", "node", "address"), "docs/templates.md")
MADE_OF = Text(
    "value",
    re.compile(r"address|uri|id|node|status|weight|meta\.[A-Za-z0-9_-]+"),
    "address, uri, id, node, status, weight or meta.NAME",
    "docs/templates.md",
)
AS = Choice("as", ("text", "address", "uri"), "docs/templates.md")
ENTRY = entry("KEY=VALUE")
_INT = re.compile(r"[+-]?[0-9]{1,20}")


def _read_int(value: object) -> int:
    """What Kamailio keeps as it is; it cuts others to the limits, and text to the digits it begins with (str2sint)."""
    number = int(value) if isinstance(value, str) and _INT.fullmatch(value) else value
    if type(number) is not int or not -INT_MAX - 1 <= number <= INT_MAX:
        raise BadValue("value", value, f"a whole number from {-INT_MAX - 1} to {INT_MAX}")
    return number


def _record(key: object, kind: str, value: object, common: Common) -> Record:
    name = KEY.read(key)
    held = _read_int(value) if kind == "int" else VALUE.read(str(value) if type(value) is int else value)
    return Record(
        key=(name,),
        group="",
        seen=(kind, held),
        line=f"0:{escape(name)}:0:{int(kind == 'int')}:{escape(str(held))}:0",
        sort=(name,),
        use=common.use,
        source=common.source,
        part=common.part,
    )


def _from_row(row: Row, part: str) -> Record:
    ZERO.read(row.text("key_type"))
    if row.has("expires") and row.text("expires") not in ("", "0"):
        raise BadValue("expires", row.text("expires"), "0: a key that lapses would be missing")
    kind = {"0": "str", "1": "int"}.get(row.text("value_type"))
    if kind is None:
        raise BadValue("value_type", row.text("value_type"), "0 or 1")
    try:
        return _record(row.text("key_name"), kind, row.text("key_value"), Common(Use.IN, Source(), part))
    except BadValue as bad:
        bad.field = f"key_{bad.field.replace('key', 'name')}"  # its column, for the message's place
        raise


def _from_fields(fields: Fields, common: Common) -> Record:
    kind = TYPE.read(fields.get("type", "str"))
    if "entry" in fields:
        key, sign, value = ENTRY.read(fields["entry"]).partition("=")
        if not sign:
            raise BadValue("entry", fields["entry"], ENTRY.allowed)
        return _record(key, kind, value, common)
    return _record(_made(fields, "key"), kind, _made(fields, "value"), common)


def _made(fields: Fields, member: str) -> object:
    """The member itself, or what its `_as` makes of address and port."""
    how = AS.read(fields.get(f"{member}_as", "text"))
    if how == "text":
        return fields.get(member)
    host, port = read_host(fields.get("address"), bare_ipv6=True), fields.get("port")
    place = host if port in (None, "", 0) else f"{host}:{PORT.read(port)}"
    return f"sip:{place}" if how == "uri" else place


def _decode(answers: Sequence[tuple[Value, ...]]) -> Memory:
    """htable.dump -> memory: a struct for each slot that holds any, its keys in a nameless list."""
    (reply,) = answers
    slots = [replies.struct(replies.members(entry, WHAT).get("slot", ""), WHAT) for entry in reply]
    return tuple(_seen(item) for slot in slots for _, item in slot)


def _seen(item: Value) -> Seen:
    found = replies.members(item, WHAT)
    key, kind = replies.text(found, "name", WHAT), replies.word(found, "type", TYPE.values, WHAT)
    return Seen((key,), (kind, (replies.number if kind == "int" else replies.text)(found, "value", WHAT)))


def _line(record: Record, state: str, disabled: bool, ours: bool) -> str:
    return record.line


def _ours(data: bytes) -> frozenset[Key]:
    return frozenset()


def _put(table: str, record: Record) -> Ask:
    """One key; kamcmd and jsonrpcs too leave text that looks like a number text, as long as it is sent as text."""
    (key,), (kind, value) = record.key, record.seen
    assert isinstance(value, int | str)
    return Ask("htable.seti" if kind == "int" else "htable.sets", (table, key, value))


def _instance(table: str) -> Dataset:
    """The dataset of one table of Kamailio's. Raises BadValue for a name that is none."""
    name = f"htable:{NAME.read(table)}" if table else "htable"
    table = table or "htable"
    return Dataset(
        name=name,
        file_doc='the db_text table of one `modparam("htable","htable","NAME=>dbtable=FILE;...")`, with no keys '
        'of others in it. NAME is `htable`; `[datasets."htable:NAME"]` is the table NAME, and there may be several',
        set_doc="One source of keys and values.",
        set_keys=(
            SetKey("key", FROM, "id", "What of an instance is the key; `address` is ADDRESS:PORT."),
            SetKey("value", MADE_OF, "address", "What of an instance is the value; `uri` is sip:ADDRESS:PORT."),
            SetKey("type", TYPE, "str", "What Kamailio holds the values as."),
        ),
        instance=_instance,
        notation=DbText(
            "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)", versions={}
        ),
        parse_staging=JsonLines(name, _from_fields, disables=False),
        parse_native=DbTextReader(
            "htable",
            [
                *(Column(column, ("string", "str")) for column in ("key_name", "key_value")),
                *(Column(column, ("int",)) for column in ("key_type", "value_type")),
            ],
            _from_row,
        ),
        line=_line,
        ours=_ours,
        in_file_order=same_place,
        reload=Ask("htable.reload", (table,)),
        readback=(Ask(WHAT, (table,)),),
        decode=_decode,
        by_key=ByKey(
            put=lambda record: _put(table, record), drop=lambda key: Ask("htable.delete", (table, str(key[0])))
        ),
        unverifiable={"expiry": "htable.dump does not tell when a key lapses: give this table no autoexpire"},
    )


DATASET = _instance("")
