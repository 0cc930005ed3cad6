"""Which of two records with one key stays."""

from itertools import permutations

import pytest

from consul_kam.core.records import Record, Source, Use
from consul_kam.core.twins import one_per_key


def record(use: Use = Use.IN, service: str = "s", id: str = "i", node: str = "n", key: str = "k") -> Record:
    return Record((1, key), "1", (), key, (key,), use, source=Source(service, id, node))


def test_without_twins_nothing_is_touched() -> None:
    records = [record(key="a"), record(key="b")]
    assert one_per_key(records)[0] is records


@pytest.mark.parametrize(
    ("stays", "goes"),
    [
        (record(Use.IN, id="z"), record(Use.DRAINING, id="a")),
        (record(Use.DRAINING, id="z"), record(Use.DISABLED, id="a")),
        (record(service="a", id="z"), record(service="b", id="a")),
        (record(id="a", node="z"), record(id="b", node="a")),
        (record(node="a"), record(node="b")),
    ],
)
def test_the_better_use_stays_then_the_lowest_name(stays: Record, goes: Record) -> None:
    other = record(key="other")
    for order in permutations([stays, goes, other]):
        kept, problems = one_per_key(order)
        assert set(map(id, kept)) == {id(stays), id(other)}
        assert [problem.source for problem in problems] == [goes.source]
        assert problems[0].key == (1, "k")


def test_one_that_is_out_goes_without_a_word() -> None:
    kept, problems = one_per_key([record(Use.OUT, id="a"), record(id="b")])
    assert [r.source.id for r in kept] == ["b"]
    assert problems == []


def test_places_are_named_where_they_are_known() -> None:
    records = [record(id="b"), record(id="a"), record(id="c")]
    _, problems = one_per_key(records, "list", [3, 5, 9])
    assert [str(problem) for problem in problems] == [
        "cannot use list:3:1: 1 k stands already in line 5 (s/a on n), allowed: once (s/b on n)",
        "cannot use list:9:1: 1 k stands already in line 5 (s/a on n), allowed: once (s/c on n)",
    ]
