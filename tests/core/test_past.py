"""The guards' memory on disk: what is written reads back equal, and anything else is told, never believed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.guards import Group, Hold, Past
from consul_kam.core.past import dump, load
from consul_kam.core.records import Key

times = st.floats(0, 4e9)
keys = st.lists(st.integers() | st.text(), min_size=1, max_size=3).map(tuple)
groups = st.builds(Group, st.lists(st.tuples(times, st.integers(0, 9))).map(tuple), times)
holds = st.builds(Hold, times, st.text(), st.none() | times)
pasts = st.builds(
    Past,
    st.dictionaries(st.text(), groups),
    st.dictionaries(keys, times),
    st.dictionaries(keys, st.text()),
    st.dictionaries(keys, st.lists(times).map(tuple)),
    st.dictionaries(keys, holds),
    st.frozensets(keys),
)
jsons = st.recursive(  # what Python reads as JSON: infinities and huge integers too
    st.none() | st.booleans() | st.floats() | st.integers() | st.just(10**400) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
FULL = Past(
    {"1": Group(((0.0, 1),), 5.0)},
    {(1, "a"): 2.0},
    {(1, "a"): "1"},
    {(1, "b"): (3.0,)},
    {(1, "b"): Hold(3.0, "why", 4.0)},
    frozenset({(1, "c")}),
)


@given(pasts)
def test_what_is_written_reads_back_equal(past: Past) -> None:
    assert load(json.loads(json.dumps(dump(past)))) == past


@pytest.mark.parametrize("field", ["groups", "joined", "live", "leaves", "holds", "granted"])
@given(value=jsons)
def test_anything_else_is_refused_by_the_errors_promised(field: str, value: object) -> None:
    _refused_or_past({**dump(FULL), field: value})


@pytest.mark.parametrize("field", ["samples", "below"])
@given(value=jsons)
def test_a_strange_group_is_refused(field: str, value: object) -> None:
    _refused_or_past({**dump(FULL), "groups": {"1": {**dump(FULL)["groups"]["1"], field: value}}})


@given(value=jsons)
def test_a_strange_hold_is_refused(value: object) -> None:
    _refused_or_past({**dump(FULL), "holds": [[["1", "a"], value]]})
    _refused_or_past({**dump(FULL), "holds": [[["1", "a"], [1.0, "why", value]]]})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 10**400, 1e15, -1e15, "1", None, [1.0]])
def test_what_is_no_time_is_refused(number: object) -> None:
    with pytest.raises((TypeError, ValueError), match=r"no time|bad operand"):
        load({**dump(FULL), "joined": [[["a"], number]]})


@pytest.mark.parametrize("key", [[], [None], [["a"]], ["a", 1.5]])
def test_what_is_no_key_is_refused(key: object) -> None:
    with pytest.raises(ValueError, match="no key"):
        load({**dump(FULL), "granted": [key]})


def _refused_or_past(data: dict[str, object]) -> None:
    try:
        past = load(data)
    except (KeyError, TypeError, ValueError):
        return
    assert all(isinstance(part, str | int) for key in _keys(past) for part in key)
    assert all(hold.until is None or isinstance(hold.until, float) for hold in past.holds.values())
    numbers = [number for group in past.groups.values() for number in (group.below, *(t for t, _ in group.samples))]
    assert all(number == number for number in numbers)


def _keys(past: Past) -> list[Key]:
    return [*past.joined, *past.live, *past.leaves, *past.holds, *past.granted]
