"""What is particular to address: three tables in memory, masks, one spelling each, and how wide Consul may open."""

import itertools
import json

import pytest

from consul_kam.core.ports import Value
from consul_kam.core.records import Key, Record, Seen, Use
from consul_kam.datasets import dataset
from consul_kam.errors import RpcMalformed
from tests.datasets.common import parse, reply

ADDRESS = dataset("address")
DUMPS = ("addressDump", "subnetDump", "domainDump")


def memory(name: str) -> tuple[Seen, ...]:
    return ADDRESS.decode([reply("address", f"{name}_{dump}") for dump in DUMPS])  # type: ignore[misc]


def native(text: str) -> tuple[Record, ...]:
    return parse(ADDRESS, "list", text.encode()).records


def staged(**fields: object) -> list[str]:
    """The line of the record that comes of one object, or why there is none."""
    data = json.dumps({"group": 1, **fields}) + '\n{"end":"address","records":1}\n'
    answer = parse(ADDRESS, "list", data.encode())
    return [record.line for record in answer.records] + [problem.reason for problem in answer.problems]


def test_what_was_recorded_is_read_whatever_table_it_is_in() -> None:
    assert memory("none") == ()
    assert memory("one") == (Seen((1, "10.0.0.1", 32, 0), ("router",)),)
    found: dict[Key, list[str]] = {}
    for each in memory("mixed"):
        found.setdefault(each.key, []).append(str(each.seen[0]))
    assert found == {
        (1, "10.0.0.1", 32, 0): ["router"],
        (1, "10.0.0.1", 32, 5060): [""],
        (2, "10.0.0.1", 32, 0): ["\udcff\udcfe"],
        (1, "2001:db8::77", 128, 0): [""],
        (1, "10.0.0.0", 24, 0): ["bits"],
        (1, "2001:db8::", 64, 5060): [""],
        (0, "0.0.0.0", 1, 0): [""],
        (3, "SBC.example.com", 0, 5060): ["name"],
        (3, "10.0.0.0/24", 0, 0): [""],
        (-(2**31), "10.0.0.9", 32, 0): [""],
        (1, "10.0.0.2", 32, 0): ["b", "a"],
    }


def test_a_name_that_looks_like_a_network_is_none() -> None:
    """Kamailio takes 10.0.0.0/24 for a name that nobody has: memory that holds it lets nobody in."""
    (record,) = native("3 10.0.0.0 24\n")
    assert record.key not in {each.key for each in memory("mixed")}


@pytest.mark.parametrize(
    "line",
    [
        "1 10.0.0.1 32 0 router",
        "1 10.0.0.1 32 5060",
        "1 10.0.0.77 24 0 bits",
        "1 2001:DB8:0::77 64 5060",
        "1 2001:db8::77",
        "3 SBC.example.com 99 5060 name",
        "0 0.0.0.0 1",
    ],
)
def test_a_line_equals_what_kamailio_shows_of_it(line: str) -> None:
    (record,) = native(line + "\n")
    assert Seen(record.key, record.seen) in memory("mixed")


def test_all_spellings_of_an_address_are_one_record() -> None:
    spellings = ["2001:db8::1", "2001:DB8:0:0:0:0:0:1", "[2001:db8::0001]", "2001:db8:0::1 128", "2001:db8::1 0"]
    assert {native(f"1 {text}\n")[0].key for text in spellings} == {(1, "2001:db8::1", 128, 0)}
    assert {native(f"1 {text}\n")[0].key for text in ["010.0.0.1", "10.0.0.1 32", "10.0.0.1 0"]} == {
        (1, "10.0.0.1", 32, 0)
    }


def test_a_mapped_address_is_written_so_that_kamailio_takes_it_for_an_address() -> None:
    """In every Python: newer ones end its short form with 10.0.0.1, and that is a name to Kamailio."""
    for mask, address in ((128, "0000:0000:0000:0000:0000:ffff:0a00:0001"), (127, "0000:" * 5 + "ffff:0a00:0000")):
        (record,) = native(f"1 ::ffff:a00:1 {mask}\n")
        assert record.line == f"1 {address} {mask} 0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"mask": 24}, "1 10.1.2.0 24 0"),
        ({"mask": "23"}, "mask is 23, allowed: 24 or more from Consul: min_prefix of the set is 24"),
        ({"mask": 8, "min_prefix": 8}, "1 10.0.0.0 8 0"),
        ({"mask": 7, "min_prefix": 8}, "mask is 7, allowed: 8 or more from Consul: min_prefix of the set is 8"),
        ({"mask": 1, "min_prefix": 0}, "1 0.0.0.0 1 0"),
        ({"mask": 28, "min_prefix": 32}, "mask is 28, allowed: 32 or more from Consul: min_prefix of the set is 32"),
        ({"mask": 0, "min_prefix": 32}, "1 10.1.2.3 32 0"),
        ({"min_prefix6": 0, "min_prefix": None}, "min_prefix is None, allowed: a whole number from 0 to 32"),
        ({"address": "2001:db8::1", "mask": 64}, "1 2001:db8:: 64 0"),
        ({"address": "2001:db8::1", "mask": 63, "min_prefix": 0},
         "mask is 63, allowed: 64 or more from Consul: min_prefix6 of the set is 64"),
        ({"address": "2001:db8::1", "mask": 32, "min_prefix6": 32}, "1 2001:db8:: 32 0"),
        ({"address": "0.0.0.0", "mask": 1, "min_prefix": 0}, "address is '0.0.0.0', allowed: an address of one host"),
        ({"address": "::", "mask": 1, "min_prefix6": 0}, "address is '::', allowed: an address of one host"),
        ({"entry": "0.0.0.0 1"}, "mask is 1, allowed: 24 or more from Consul: min_prefix of the set is 24"),
        ({"entry": "0.0.0.0 1", "min_prefix": 0}, "1 0.0.0.0 1 0"),
        ({"entry": "sbc.example.com"}, "1 sbc.example.com 0 0"),
    ],
)  # fmt: skip
def test_consul_opens_no_more_than_the_set_allows(fields: dict[str, object], expected: str) -> None:
    given = fields if "entry" in fields else {"address": "10.1.2.3", **fields}
    assert staged(**given) == [expected]


def test_a_service_without_a_port_opens_no_port_where_the_port_is_to_be_its_own() -> None:
    assert staged(address="10.0.0.1", port=0) == ["port is 0, allowed: a whole number from 1 to 65535"]
    assert staged(address="10.0.0.1", port=5060) == ["1 10.0.0.1 32 5060"]
    assert staged(address="10.0.0.1") == ["1 10.0.0.1 32 0"]


@pytest.mark.parametrize(
    ("status", "use"), [("maintenance", Use.KEPT), ("warning", Use.IN), ("critical", Use.OUT), ("passing", Use.IN)]
)
def test_a_peer_that_drains_is_let_in_until_it_deregisters(status: str, use: Use) -> None:
    line = json.dumps({"group": 1, "address": "10.0.0.1", "status": status}).encode()
    (record,) = ADDRESS.parse_staging("address", line + b'\n{"end":"address","records":1}\n').records
    assert record.use is use


def test_what_is_more_particular_is_found_first_in_every_table() -> None:
    """A host's newest line is found first, a network's oldest one."""
    lines = ["1 10.0.0.1 32 5060", "1 10.0.0.1", "1 10.0.0.0 24", "1 10.0.0.0 16", "2 10.0.0.1", "2 10.0.0.0 24"]
    wanted = [*lines[2:4], lines[5], lines[4], *lines[1::-1]]
    for given in itertools.permutations(lines):
        records = sorted(native("\n".join(given)), key=lambda record: record.sort)
        written = [" ".join(map(str, record.key)) for record in ADDRESS.in_file_order(records)]
        assert written == [" ".join(map(str, native(line)[0].key)) for line in wanted]


def test_nothing_is_ever_disabled_by_us() -> None:
    assert ADDRESS.ours(b"anything") == frozenset()
    assert ADDRESS.carry is None


def test_what_is_no_address_equals_none_of_ours() -> None:
    odd = (("group", "1"), ("item", (("ip", "10.0.0"), ("mask", "99"), ("port", "0"), ("tag", ""))))
    assert ADDRESS.decode([(odd,), (odd,), ()]) == (
        Seen((1, "10.0.0", 32, 0), ("",)), Seen((1, "10.0.0", 99, 0), ("",)),
    )  # fmt: skip


ITEM = (("ip", "10.0.0.1"), ("mask", "24"), ("domain_name", "a"), ("port", "0"), ("tag", ""))


WRONG: list[Value] = [
    "text",
    (("item", ITEM),),
    (("group", "1"),),
    (("group", "x"), ("item", ITEM)),
    (("group", ()), ("item", ITEM)),
    (("group", "1"), ("item", "a")),
    (("group", "1"), ("item", ())),
    (("group", "1"), ("item", ITEM[:3])),
    (("group", "1"), ("item", ITEM[:4])),
]


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("value", WRONG)
def test_another_shape_is_malformed(place: int, value: Value) -> None:
    answers: list[tuple[Value, ...]] = [(), (), ()]
    answers[place] = (value,)
    with pytest.raises(RpcMalformed, match=rf"^cannot read permissions\.{DUMPS[place]}"):
        ADDRESS.decode(answers)


def test_a_record_whose_line_kamailio_would_split_is_refused() -> None:
    tag = "t" * 1007
    assert staged(address="10.0.0.1", tag=tag) == [f"1 10.0.0.1 32 0 {tag}"]
    assert staged(address="10.0.0.11", tag=tag)[0].startswith("line is '1 10.0.0.11 32 0 ttt")
    assert staged(address="10.0.0.11", tag=tag)[0].endswith(", allowed: at most 1023 bytes")


@pytest.mark.parametrize(("tag", "seen"), [("NULL", ""), ("X", "X"), ("a\u00a0", "a\u00a0"), ("null", "null")])
def test_a_tag_is_kept_as_it_is_but_null_is_none(tag: str, seen: str) -> None:
    (record,) = native(f"7 10.0.0.1 32 0 {tag}\n")
    assert (record.line, record.seen, record.group) == (f"7 10.0.0.1 32 0 {tag}", (seen,), "7")


def test_a_group_may_stand_right_before_a_bracket() -> None:
    assert [record.key for record in native("12[2001:db8::] 64 5060 a\n")] == [(12, "2001:db8::", 64, 5060)]
    answer = parse(
        ADDRESS, "list", b"10.0.0.1\n 99999999999[::1]\n 12[2001:db8::x] 64\n 12[2001:db8::] 129\n1 10.0.0.1\n"
    )
    assert [(problem.line, problem.column) for problem in answer.problems] == [(1, 1), (2, 2), (3, 4), (4, 17)]


def test_in_the_file_networks_stand_as_wanted_and_hosts_and_names_turned_round() -> None:
    lines = ["1 10.0.0.0 24 0", "1 10.1.0.0 16 0", "1 2001:db8:: 64 0", "1 2001:db8:1:: 48 0"]
    ends = ["1 a.example 0 0", "1 b.example 0 0", "1 10.0.0.1 32 0", "1 2001:db8::1 128 0", "1 2001:db8::2 128 0"]
    ordered = ADDRESS.in_file_order(native("\n".join([*ends, *lines, ""])))
    assert [record.line for record in ordered] == [*lines, *reversed(ends)]
