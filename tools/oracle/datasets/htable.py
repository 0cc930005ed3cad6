"""htable: a db_text table, read back by htable.dump."""

from random import Random

from consul_kam.datasets import htable
from tests.lab.htable import held
from tests.lab.rpc import Rpc
from tools.oracle import table, values
from tools.oracle.adapter import Adapter, Entry, Row

HEADER = "id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)"
NAME = "htable"


def read(data: bytes) -> list[Entry]:
    """(key, value) of each row, a value of type 1 as a number; of another type, with a life or an array: as it says."""
    return sorted((_entry(row) for row in table.read(data)), key=str)


def _entry(row: dict[str, str]) -> Entry:
    value: object = row.get("key_value", "")
    if row.get("value_type") == "1":
        value = table.number(str(value).removeprefix("+"))
    odd = [
        f"{name} {row.get(name)}"
        for name, usual in (("key_type", "0"), ("value_type", "01"), ("expires", "0"))
        if row.get(name, "0") not in ("", *usual)
    ]
    odd += [text for name in ("id", "expires") if isinstance(table.number(text := row.get(name) or "0"), str)]
    return row.get("key_name", ""), value, *row.get("?", ""), *odd


def memory(rpc: Rpc) -> list[Entry]:
    """htable.dump."""
    return sorted(held(rpc, NAME).items(), key=str)


def _rows(rng: Random) -> list[table.Fields]:
    keys = values.unique(rng, rng.randint(1, 6), _key, str)
    return [[str(rng.randint(1, 99)), key, "0", *_value(rng), "0"] for key in keys]


def _key(rng: Random) -> str:
    return values.text(rng, values.PRINTABLE + ":@é\udcff", rng.choice((3, 12, 100)))


def _value(rng: Random) -> list[str]:
    if rng.random() < 0.4:
        return ["1", str(rng.choice((0, 1, -1, 2**31 - 1, -(2**31), rng.randint(-999, 99999))))]
    return ["0", values.text(rng, values.PRINTABLE + " :;\\'\"#=ä\udcff", rng.choice((3, 20, 300)))]


TABLE = table.Table(HEADER, _rows, ints=(0, 2, 3, 5))
_NO_INT = ("abc", "1.5", "0x10", "12x", "ten", "1 2", "--1", "2147483648", "-2147483649", "99999999999")


def _int(rng: Random, row: table.Fields) -> None:
    row[3:5] = ["1", rng.choice(_NO_INT)]


def _twice(rng: Random, row: table.Fields) -> str:
    again = [*row[:3], "0", values.text(rng), row[5]]
    return f"{TABLE.line(row)}\n{TABLE.line(again)}"


ROWS = (
    *TABLE.bad(),
    Row("a value of type int that is no number, or over 2147483647", TABLE.with_line(_int)),
    Row(
        "a value type other than 0 and 1",
        TABLE.with_field(3, lambda rng: rng.choice(("2", "3", "9", "-1"))),
        steady=False,
    ),
    Row("a key type other than 0", TABLE.with_field(2, lambda rng: rng.choice(("1", "2", "-1")))),
    Row("a key that lapses", TABLE.with_field(5, lambda rng: rng.choice(("1", "1700000000", "-5")))),
    Row("a NUL in a value", TABLE.with_field(4, lambda rng: f"a\0{values.text(rng)}")),
    Row("control characters in a value", TABLE.with_field(4, lambda rng: f"a{rng.choice(values.CONTROL)}b")),
    Row("the same key twice", TABLE.with_line(_twice)),
    *TABLE.fine(),
)

ADAPTER = Adapter(
    dataset=htable.DATASET,
    file="htable",
    cfg='loadmodule "pv.so"\nloadmodule "htable.so"\nmodparam("htable","db_url","text://{live}")\n'
    f'modparam("htable","htable","{NAME}=>size=6;dbtable={NAME};")',
    beside={"version": b"table_name(string) table_version(int)\nhtable:2\n"},
    empty=f"{HEADER}\n\n".encode(),
    rows=ROWS,
    read=read,
    memory=memory,
    reload="htable.reload",
    argument=NAME,
)
