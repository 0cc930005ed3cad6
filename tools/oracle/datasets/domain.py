"""domain: a db_text table, read back by domain.dump."""

from random import Random

from consul_kam.datasets import domain
from tests.lab.rpc import Rpc
from tools.oracle import table, values
from tools.oracle.adapter import Adapter, Entry, Row

HEADER = "id(int,auto) domain(string) did(string,null) last_modified(int)"


def read(data: bytes) -> list[Entry]:
    """(domain, did) of each row; a domain without did is its own."""
    rows = table.read(data)
    return sorted((row.get("domain", ""), row.get("did") or row.get("domain", ""), *_odd(row)) for row in rows)


def _odd(row: dict[str, str]) -> list[str]:
    """What a person stumbles over: another number of fields, text for a number."""
    numbers = [row.get(name) or "0" for name in ("id", "last_modified")]
    return [*row.get("?", ""), *(text for text in numbers if isinstance(table.number(text), str))]


def memory(rpc: Rpc) -> list[Entry]:
    """domain.dump."""
    return sorted(rpc.domains())


def _rows(rng: Random) -> list[table.Fields]:
    names = values.unique(rng, rng.randint(1, 6), _domain, str.lower)
    return [
        [str(rng.randint(-9, 999)), name, rng.choice((name, "", _did(rng))), str(rng.randint(0, 9))] for name in names
    ]


def _domain(rng: Random) -> str:
    return rng.choice(
        (
            f"{values.text(rng, 'abcXYZ019')}.example",
            f"{values.text(rng, 'abc-_')}.{values.text(rng, 'xyz')}.Example",
            values.ipv4(rng),
            f"[{values.ipv6(rng)}]",
            "localhost",
        )
    )


def _did(rng: Random) -> str:
    return values.text(rng, values.PRINTABLE + " :\\'\"#;äß\udcff", rng.choice((3, 12, 200)))


TABLE = table.Table(HEADER, _rows, ints=(0, 3))
_NO_DOMAIN = (
    "10.0.0.999",
    "0.0.0.0",
    "[::]",
    "a b.example",
    "sip:a.example",
    "a..b",
    ".",
    "a.example:5060",
    "1.2.3",
    "::1",
    "*.example",
    "ä.example",
)


def _twice(rng: Random, row: table.Fields) -> str:
    again = [row[0], rng.choice((row[1], row[1].swapcase())), *row[2:]]
    return f"{TABLE.line(row)}\n{TABLE.line(again)}"


def _columns(rng: Random) -> bytes:
    """Other columns, in another order."""
    header = "did(string,null) extra(double,null) domain(string) last_modified(int) id(int,auto) note(str,null)"
    rows = ([row[2], rng.choice(("", "1.5")), row[1], row[3], row[0], values.text(rng)] for row in _rows(rng))
    return TABLE.file([TABLE.line(row) for row in rows], header)


ROWS = (
    *TABLE.bad(),
    Row("a NUL in a field", TABLE.with_field(1, lambda rng: f"a{rng.randrange(99)}.example\0.hidden")),
    Row("control characters in a did", TABLE.with_field(2, lambda rng: f"a{rng.choice(values.CONTROL)}b")),
    Row("a domain that no SIP URI can name", TABLE.with_field(1, lambda rng: rng.choice(_NO_DOMAIN))),
    Row("the same domain twice, in whatever case", TABLE.with_line(_twice)),
    *TABLE.fine(),
    Row("other columns, another order of columns", _columns, fine=True),
)

ADAPTER = Adapter(
    dataset=domain.DATASET,
    file="domain",
    cfg='loadmodule "domain.so"\nmodparam("domain","db_url","text://{live}")\nmodparam("domain","register_myself",0)',
    beside={
        "version": b"table_name(string) table_version(int)\ndomain:2\ndomain_attrs:1\n",
        **domain.DATASET.notation.needs(),
    },
    empty=f"{HEADER}\n\n".encode(),
    rows=ROWS,
    read=read,
    memory=memory,
    reload="domain.reload",
)
