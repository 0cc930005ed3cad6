"""Consul's weights as Kamailio's algorithms take them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.records import Record, Share
from consul_kam.core.weights import Settled, percent, relative

WEIGHTS = st.lists(st.integers(1, 65535), min_size=1, max_size=100)


@pytest.mark.parametrize(
    ("weights", "fit"),
    [
        ([], []), ([1], [1]), ([100, 1], [100, 1]), ([101], [100]), ([200, 100], [100, 50]), ([1000, 1], [100, 1]),
        ([200, 1], [100, 1]), ([200, 3], [100, 2]), ([200, 5], [100, 3]), ([250, 5], [100, 2]), ([9999, 9], [100, 1]),
        ([201, 3], [100, 1]), ([199, 3], [100, 2]),
    ],
)  # fmt: skip
def test_relative(weights: list[int], fit: list[int]) -> None:
    assert relative(weights) == fit


def test_relative_gives_a_list_of_its_own() -> None:
    weights = [1, 2]
    assert relative(weights) is not weights


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        ([], []), ([7], [100]), ([1, 1], [50, 50]), ([1, 1, 1], [34, 33, 33]), ([1, 2], [33, 67]), ([2, 1], [67, 33]),
        ([1, 1, 1, 1, 1, 1], [17, 17, 17, 17, 16, 16]), ([1, 1000], [1, 99]), ([1000, 1], [99, 1]),
        ([1, 1, 1000], [1, 1, 98]), ([1000, 1000, 1, 1, 1], [49, 48, 1, 1, 1]), ([50, 49, 1], [50, 49, 1]),
        ([1] * 100, [1] * 100), ([1] * 101, [1] * 100 + [0]), ([1] * 100 + [2], [1] * 99 + [0, 1]),
        ([1] * 99 + [1000], [1] * 100), ([3, 3, 1], [43, 43, 14]), ([5, 3, 3], [46, 27, 27]), ([1, 5], [17, 83]),
        ([1, 40], [2, 98]),
    ],
)  # fmt: skip
def test_percent(weights: list[int], shares: list[int]) -> None:
    assert percent(weights) == shares


@given(WEIGHTS)
def test_percents_sum_up_to_100_nobody_is_forgotten_and_more_is_never_less(weights: list[int]) -> None:
    shares = percent(weights)
    assert sum(shares) == 100
    assert min(shares) >= 1
    for one, its in zip(weights, shares, strict=True):
        for other, others in zip(weights, shares, strict=True):
            assert its <= others + 1 or one >= other


def record(name: str, share: Share | None, group: str = "1") -> Record:
    return Record((name,), group, (), name, (name,), share=share)


def reweigh(record: Record, name: str, value: int) -> Record:
    return Record(record.key, record.group, (name, value), record.line, record.sort, share=record.share)


def fitted(records: list[Record]) -> list[tuple[object, ...]]:
    settled, problems = Settled(reweigh)(records)
    assert problems == ()
    return [record.seen for record in settled]


def test_weights_that_fit_are_left_alone() -> None:
    records = [record("a", ("rweight", 100)), record("b", None), record("c", ("rweight", 1))]
    assert Settled(reweigh)(records)[0] is records
    whole = [record("a", ("weight", 60)), record("b", ("weight", 40))]
    assert Settled(reweigh)(whole)[0] is whole


def test_each_group_and_each_attribute_is_fitted_by_itself() -> None:
    assert fitted(
        [
            record("a", ("rweight", 200)),
            record("b", ("rweight", 100)),
            record("c", ("weight", 1)),
            record("d", ("weight", 3)),
            record("e", ("rweight", 7), "2"),
            record("f", ("rweight", 100), "2"),
            record("g", ("weight", 9), "3"),
            record("h", None, "3"),
        ]
    ) == [("rweight", 100), ("rweight", 50), ("weight", 25), ("weight", 75), (), (), ("weight", 100), ()]


def test_remainders_go_by_the_wanted_order_not_by_the_files() -> None:
    names = ["c", "a", "b"]
    assert fitted([record(name, ("weight", 1)) for name in names]) == [("weight", 33), ("weight", 34), ("weight", 33)]


def test_the_same_weight_as_last_time_is_the_same_object() -> None:
    calls = []

    def counting(record: Record, name: str, value: int) -> Record:
        calls.append((record.line, value))
        return reweigh(record, name, value)

    settle = Settled(counting)
    a, b, c = (record(name, ("weight", 1)) for name in "abc")
    first = settle([a, b])[0]
    again = settle([a, b])[0]
    assert calls == [("a", 50), ("b", 50)]
    assert [x is y for x, y in zip(first, again, strict=True)] == [True, True]
    assert [r.seen for r in settle([a, b, c])[0]] == [("weight", 34), ("weight", 33), ("weight", 33)]
    assert [r.seen for r in settle([a, b])[0]] == [("weight", 50), ("weight", 50)]
    assert len(calls) == 7


def test_one_above_100_is_enough_to_fit_its_group() -> None:
    assert fitted([record("a", ("rweight", 101)), record("b", ("rweight", 50)), record("c", ("rweight", 9), "2")]) == [
        ("rweight", 100), (), ()
    ]  # fmt: skip
    assert fitted([record("a", ("rweight", 101)), record("b", ("rweight", 200), "2")]) == [("rweight", 100)] * 2
