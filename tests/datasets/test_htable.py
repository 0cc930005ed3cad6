"""What is particular to htable: types, the dump's shape, one key at a time, several tables."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.dataset import Ask, dataset_of, file_name
from consul_kam.core.grammar import BadValue
from consul_kam.core.plan import make_release
from consul_kam.core.ports import Value
from consul_kam.core.records import Record, Seen, Use
from consul_kam.datasets import dataset
from consul_kam.errors import ListError, RpcMalformed
from consul_kam.testing import FakeKamailio, HTable
from tests.datasets.common import reply

HTABLE, CARRIERS = dataset("htable"), dataset("htable:carriers")
HEADER = b"id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
NUMBERS = st.integers(-(2**31), 2**31 - 1)


def staged(*objects: dict[str, object], name: str = "htable") -> tuple[Record, ...]:
    lines = [json.dumps(each) for each in (*objects, {"end": name, "records": len(objects)})]
    return dataset(name).parse_staging(name, "\n".join(lines).encode()).records


def test_a_dump_is_read_with_its_types() -> None:
    memory = HTABLE.decode([reply("htable", "mixed")])  # type: ignore[list-item]
    assert set(memory) == {
        Seen(("acme",), ("str", "sip:gw.acme.example:5060")),
        Seen(("limit",), ("int", 20)),
        Seen(("minus",), ("int", -(2**31))),
        Seen(("zero",), ("int", 0)),
        Seen(("looks like a number",), ("str", "20")),
        Seen(("ü : \\",), ("str", " ü\n\t")),
        *(Seen((f"list[{n}]",), ("str", str(7 + n))) for n in range(3)),
        Seen(("list::size",), ("int", 3)),
    }


def test_an_empty_table_is_no_fault_and_an_unknown_one_is_no_empty_one() -> None:
    assert HTABLE.decode([reply("htable", "empty")]) == ()  # type: ignore[list-item]
    assert reply("htable", "unknown") == (500, "No such htable")
    assert HTABLE.readback[0].empty == ()


@pytest.mark.parametrize(
    "value",
    [
        "text",
        (),
        (("slot", "text"),),
        (("slot", (("", "text"),)),),
        (("slot", (("", (("name", "a"), ("value", "x"))),)),),
        (("slot", (("", (("name", "a"), ("value", "x"), ("type", "double"))),)),),
        (("slot", (("", (("name", "a"), ("value", "x"), ("type", "int"))),)),),
        (("slot", (("", (("value", "x"), ("type", "str"))),)),),
    ],
)
def test_another_shape_is_malformed(value: Value) -> None:
    with pytest.raises(RpcMalformed, match=r"^cannot read htable\.dump"):
        HTABLE.decode([(value,)])


@given(st.dictionaries(TEXTS, st.one_of(TEXTS, NUMBERS), max_size=8))
def test_what_is_written_is_what_memory_shows(pairs: dict[str, str | int]) -> None:
    objects = [
        {"type": "int" if isinstance(value, int) else "str", "key": key, "value": value} for key, value in pairs.items()
    ]
    records = staged(*objects)
    assert {r.key[0] for r in records} == {key for key, value in pairs.items() if not {key, value} & {*"{}[]"}}
    again = HTABLE.parse_native("live", HTABLE.notation.write([record.line for record in records])).records
    assert [(r.key, r.seen, r.line) for r in again] == [(r.key, r.seen, r.line) for r in records]
    table = HTable("htable")
    kamailio = FakeKamailio(table.handlers)
    assert HTABLE.by_key is not None
    for record in records:
        ask = HTABLE.by_key.put(record)
        kamailio.call(ask.method, *ask.params, deadline=1)
    shown = kamailio.call("htable.dump", "htable", deadline=1)
    assert HTABLE.decode([shown]) == tuple(Seen(record.key, record.seen) for record in records)
    for record in records:
        ask = HTABLE.by_key.drop(record.key)
        kamailio.call(ask.method, *ask.params, deadline=1)
    assert table.held == {}


def test_one_key_at_a_time() -> None:
    text, number = staged({"key": "a", "value": "5"}, {"type": "int", "key": "b", "value": "-5"}, name=CARRIERS.name)
    assert CARRIERS.by_key is not None
    assert CARRIERS.by_key.put(text) == Ask("htable.sets", ("carriers", "a", "5"))
    assert CARRIERS.by_key.put(number) == Ask("htable.seti", ("carriers", "b", -5))
    assert CARRIERS.by_key.drop(text.key) == Ask("htable.delete", ("carriers", "a"))


def test_each_table_is_a_dataset_of_its_own() -> None:
    assert CARRIERS is dataset("htable:carriers")
    assert (CARRIERS.name, CARRIERS.reload, CARRIERS.readback) == (
        "htable:carriers",
        Ask("htable.reload", ("carriers",)),
        (Ask("htable.dump", ("carriers",)),),
    )
    assert HTABLE.readback == (Ask("htable.dump", ("htable",)),)
    with pytest.raises(ListError, match=r'expected \{"end":"htable:carriers"'):
        CARRIERS.parse_staging("list", b'{"key":"a","value":"x"}\n{"end":"htable","records":1}\n')


@pytest.mark.parametrize(
    "name", ["htable:", "htable:a:b", "htable:a b", "htable:../x", "htable:" + "x" * 65, "domain:x"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadValue):
        dataset(name)


@pytest.mark.parametrize("name", ["htable", "htable:carriers", "htable:a-b_c"])
def test_file_names_tell_datasets_apart(name: str) -> None:
    assert dataset_of(file_name(name)) == name
    assert ":" not in file_name(name)


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("k" * 255, "v" * 1024, True),
        ("k" * 256, "v", False),
        ("k", "v" * 1025, False),
        ("ü" * 255, "\U0001f600" * 1024, True),
    ],
)
def test_lengths(key: str, value: str, good: bool) -> None:
    assert len(staged({"key": key, "value": value})) == good


def test_a_number_is_the_same_however_it_is_written() -> None:
    found = {staged({"type": "int", "key": "a", "value": value})[0].line for value in (7, "7", "+7", "007")}
    assert found == {"0:a:0:1:7:0"}


def test_one_in_maintenance_stays_and_one_that_would_be_disabled_goes() -> None:
    uses = [
        staged({"key": "a", "value": "x", "status": status, "critical": "disable"})[0].use
        for status in ("maintenance", "critical")
    ]
    assert uses == [Use.KEPT, Use.OUT]


def test_it_stands_alone_and_nothing_is_ever_disabled() -> None:
    assert HTABLE.notation.companion(None) is None
    assert HTABLE.notation.needs() == {}
    assert HTABLE.ours(HEADER) == frozenset()
    assert HTABLE.carry is None


def test_an_empty_expiry_and_no_port_are_none() -> None:
    (record,) = HTABLE.parse_native(
        "live", HEADER.replace(b"expires(int)", b"expires(int,null)") + b"1:a:0:0:x:\n"
    ).records
    assert record.line == "0:a:0:0:x:0"
    for port in ("", None, 0):
        (record,) = staged({"key": "a", "value_as": "address", "address": "10.0.0.1", "port": port})
        assert record.seen == ("str", "10.0.0.1")


def test_keys_are_one_set_in_the_order_of_their_names() -> None:
    records = staged({"key": "b", "value": "x"}, {"key": "a", "value": "x"})
    assert {record.group for record in records} == {""}
    assert [record.key for record in make_release(records).records] == [("a",), ("b",)]
