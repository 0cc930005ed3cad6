"""Which of two records with one key stays."""

from dataclasses import replace
from itertools import permutations

import pytest

from consul_kam.core.plan import make_release
from consul_kam.core.records import Answer, Record, Source, Use
from consul_kam.core.twins import one_per_key, without_twins


def record(use: Use = Use.IN, service: str = "s", id: str = "i", node: str = "n", key: str = "k") -> Record:
    return Record((1, key), "1", (), f"{key} {service}/{id}/{node}", (key,), use, source=Source(service, id, node))


def test_without_twins_nothing_is_touched() -> None:
    records = [record(key="a"), record(key="b")]
    assert one_per_key([Answer(tuple(records))])[0] == records


@pytest.mark.parametrize(
    ("stays", "goes"),
    [
        (record(Use.IN, id="z"), record(Use.DRAINING, id="a")),
        (record(Use.IN, id="z"), record(Use.KEPT, id="a")),
        (record(Use.DRAINING, id="z"), record(Use.DISABLED, id="a")),
        (record(service="a", id="z"), record(service="b", id="a")),
        (record(id="a", node="z"), record(id="b", node="a")),
        (record(node="a"), record(node="b")),
    ],
)
def test_the_better_use_stays_then_the_lowest_name(stays: Record, goes: Record) -> None:
    other = record(key="other")
    for order in permutations([stays, goes, other]):
        kept, problems = one_per_key([Answer(tuple(order))])
        assert set(map(id, kept)) == {id(stays), id(other)}
        assert [problem.source for problem in problems] == [goes.source]
        assert problems[0].key == (1, "k")


def test_one_that_is_out_goes_without_a_word() -> None:
    kept, problems = one_per_key([Answer((record(Use.OUT, id="a"), record(id="b")))])
    assert [r.source.id for r in kept] == ["b"]
    assert problems == []


def test_places_are_named_where_they_are_known() -> None:
    records = [record(id="b"), record(id="a"), record(id="c")]
    _, problems = one_per_key([Answer(tuple(records), file="list", lines=(3, 5, 9))])
    assert [str(problem) for problem in problems] == [
        "cannot use list:3:1: 1 k stands already in line 5 (s/a on n), allowed: once (s/b on n)",
        "cannot use list:9:1: 1 k stands already in line 5 (s/a on n), allowed: once (s/c on n)",
    ]


def test_without_a_place_the_key_stands_for_it() -> None:
    _, (problem,) = one_per_key([Answer((record(id="a"), record(id="b")))])
    assert str(problem) == "cannot use 1 k:0:0: 1 k stands already (s/a on n), allowed: once (s/b on n)"
    assert (problem.group, problem.key) == ("1", (1, "k"))


def test_a_newcomer_neither_replaces_nor_undoes_the_one_that_is_there() -> None:
    there = record(Use.DRAINING, id="honest")
    last = make_release([there])
    newcomer = record(Use.IN, id="0-evil")
    kept, problems = one_per_key([Answer((newcomer, there))], last)
    assert kept == [there]
    assert problems[0].source == newcomer.source


def test_one_that_is_there_is_known_by_its_line_where_sources_were_not_kept() -> None:
    there = record(id="honest")
    stored = Record(there.key, "1", (), there.line, there.sort)
    evil = Record(there.key, "1", (), "another line", there.sort, source=Source("s", "0-evil", "n"))
    kept, _ = one_per_key([Answer((evil, there))], make_release([stored]))
    assert kept == [there]


@pytest.mark.parametrize("ids", [("a", "b"), ("b", "a")])
def test_services_that_say_the_very_same_are_one_record(ids: tuple[str, str]) -> None:
    one, two = (replace(record(id=id), line="k") for id in ids)
    kept, problems = one_per_key([Answer((one,)), Answer((two,))])
    assert [r.source.id for r in kept] == ["a"]
    assert problems == []


@pytest.mark.parametrize(
    "other",
    [
        replace(record(id="b"), line="k", source=Source()),
        replace(record(id="b"), line="k", use=Use.DRAINING),
        replace(record(id="b"), line="k", share=("weight", 2)),
        replace(record(id="b"), line="k 2"),
    ],
    ids=["no service", "another use", "another weight", "another line"],
)
def test_what_is_not_the_very_same_is_named(other: Record) -> None:
    one = replace(record(id="a"), line="k")
    kept, problems = one_per_key([Answer((one, other))])
    assert len(kept) == len(problems) == 1


def test_a_line_twice_in_a_native_list_is_named() -> None:
    line = replace(record(), source=Source())
    assert len(one_per_key([Answer((line, line))])[1]) == 1


def test_one_that_is_out_gives_way_to_a_newcomer() -> None:
    there, newcomer = record(Use.OUT, id="old"), record(Use.IN, id="new")
    kept, _ = one_per_key([Answer((there, newcomer))], make_release([record(id="old")]))
    assert kept == [newcomer]


def test_a_twin_in_another_file_is_named_with_that_file() -> None:
    one = Answer((record(id="a"),), file="list", lines=(4,))
    _, problems = one_per_key([one, Answer((record(id="b"),), file="list@dc2", lines=(7,))])
    assert [str(problem) for problem in problems] == [
        "cannot use list@dc2:7:1: 1 k stands already in list:4 (s/a on n), allowed: once (s/b on n)"
    ]


def test_without_its_twins_a_file_has_no_lines_of_records_any_more() -> None:
    answer = without_twins(Answer((record(id="a"), record(id="b"), record(key="other")), file="list", lines=(1, 2, 3)))
    assert (len(answer.records), [problem.line for problem in answer.problems], answer.lines) == (2, [2], ())
