"""What is particular to domain: no case, no states, domain.dump."""

import pytest

from consul_kam.core.plan import make_release
from consul_kam.core.ports import Value
from consul_kam.core.records import Key, Seen, Use
from consul_kam.datasets import dataset
from consul_kam.errors import RpcMalformed
from consul_kam.testing import OLDEST, VERSIONS
from tests.datasets.common import reply

DOMAIN = dataset("domain")
every_version = pytest.mark.parametrize("version", VERSIONS)


def memory(name: str, version: str = OLDEST) -> tuple[Seen, ...]:
    return DOMAIN.decode([reply("domain", name, version)])  # type: ignore[list-item]


def staged(text: str) -> tuple[Use, ...]:
    data = f'{{"domain":"a.example",{text}}}\n{{"end":"domain","records":1}}\n'.encode()
    return tuple(record.use for record in DOMAIN.parse_staging("domain", data).records)


@every_version
def test_memory_is_read_in_any_amount(version: str) -> None:
    assert memory("empty", version) == ()
    assert memory("one", version) == (Seen(("a.example",), ("a.example",)),)
    assert len(memory("thirty", version)) == 30
    assert len(memory("hostile", version)) > 3


@every_version
def test_twins_in_memory_are_both_seen(version: str) -> None:
    keys = [entry.key for entry in memory("hostile", version)]
    assert keys.count(("dup.example",)) == 2


def test_case_does_not_count_and_a_domain_without_did_is_its_own() -> None:
    header = b"id(int,auto) domain(string) did(string,null) last_modified(int)\n"
    (record,) = DOMAIN.parse_native("domain", header + b"7:A.Example::99\n").records
    assert record.key == ("a.example",)
    assert record.seen == ("A.Example",)
    assert record.line == "0:A.Example:A.Example:0"


def test_a_domain_in_maintenance_stays_and_one_that_would_be_disabled_goes() -> None:
    assert staged('"status":"maintenance"') == (Use.KEPT,)
    assert staged('"status":"critical","critical":"disable"') == (Use.OUT,)


def test_nothing_is_ever_disabled_by_us() -> None:
    assert DOMAIN.ours(b"anything") == frozenset()
    assert DOMAIN.carry is None


def test_the_tables_that_the_module_wants_beside_it() -> None:
    assert list(DOMAIN.notation.needs()) == ["domain_attrs"]


@pytest.mark.parametrize("value", ["text", (), (("domains", "text"),), (("domains", (("", (("domain", "a"),)),)),)])
def test_another_shape_is_malformed(value: Value) -> None:
    with pytest.raises(RpcMalformed, match=r"^cannot read domain\.dump"):
        DOMAIN.decode([(value,)])


def test_no_reply_is_no_domains() -> None:
    assert DOMAIN.decode([()]) == ()


def test_it_is_written_in_the_order_it_is_kept_in() -> None:
    records = DOMAIN.parse_staging("l", b'{"domain":"b"}\n{"domain":"a"}\n{"end":"domain","records":2}\n').records
    assert [record.line for record in DOMAIN.in_file_order(records)] == ["0:b:b:0", "0:a:a:0"]


def test_domains_are_one_set_in_the_order_of_their_names() -> None:
    data = b'{"domain":"b.example"}\n{"domain":"A.example"}\n{"end":"domain","records":2}\n'
    records = DOMAIN.parse_staging("domain", data).records
    assert {record.group for record in records} == {""}
    assert [record.key for record in make_release(records).records] == [("a.example",), ("b.example",)]


@pytest.mark.parametrize(
    ("entry", "keys"),
    [("a.example", [("a.example",)]), ("a.example d", [("a.example",)]), ("a.example d e", []), ("a b c d e", [])],
)
def test_an_entry_is_a_domain_and_perhaps_its_did(entry: str, keys: list[Key]) -> None:
    data = f'{{"entry":"{entry}"}}\n{{"end":"domain","records":1}}\n'.encode()
    assert [record.key for record in DOMAIN.parse_staging("domain", data).records] == keys
