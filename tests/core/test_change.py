"""When a release goes key by key, and what is asked then."""

import pytest

from consul_kam.core.change import Base, key_by_key
from consul_kam.core.dataset import Ask, ByKey
from consul_kam.core.records import Memory, Release, Seen
from tests.core.play import held_by
from tests.core.world import Row, release

BY_KEY = ByKey(put=lambda record: Ask("put", (record.line,)), drop=lambda key: Ask("drop", key))
OLD = release((Row("a"), Row("b"), Row("c")))
NEW = release((Row("d"), Row("b", "other"), Row("c")))


def asked(base: Base, memory: Memory, wanted: Release = NEW) -> tuple[list[str] | None, Base]:
    asks, after = key_by_key(BY_KEY, base, memory, wanted)
    return [f"{ask.method} {ask.params[0]}" for ask in asks] if asks is not None else None, after


def test_only_what_differs_is_asked_for_and_what_goes_goes_last() -> None:
    asks, base = asked(Base(OLD), held_by(OLD))
    assert asks == ["put d v", "put b other", "drop a"]
    assert base == Base(OLD, NEW, by_key=True)


def test_the_order_of_memory_has_no_meaning() -> None:
    assert asked(Base(OLD), held_by(OLD)[::-1])[0] == ["put d v", "put b other", "drop a"]


def test_what_somebody_disabled_by_hand_is_no_change_of_the_list() -> None:
    assert asked(Base(OLD), held_by(OLD, "a"))[0] == ["put d v", "put b other", "drop a"]


@pytest.mark.parametrize(
    "memory",
    [
        (),
        held_by(OLD)[1:],
        (*held_by(OLD), Seen(("z",), ("v",))),
        (*held_by(OLD)[:2], Seen(("c",), ("other",))),
        (*held_by(OLD), held_by(OLD)[0]),
    ],
    ids=["a Kamailio just started", "one missing", "one more", "one changed", "one twice"],
)
def test_memory_that_is_not_as_proven_is_loaded_whole(memory: Memory) -> None:
    assert asked(Base(OLD), memory) == (None, Base(OLD, NEW))


def test_a_first_start_and_a_corrective_try_load_the_whole() -> None:
    assert asked(Base(), held_by(OLD)) == (None, Base(None, NEW))
    assert asked(Base(OLD, NEW, by_key=True), held_by(OLD)) == (None, Base(OLD, NEW))
    assert asked(Base(OLD, NEW, by_key=True), held_by(NEW)[1:]) == (None, Base(OLD, NEW))


@pytest.mark.parametrize("by_key", [True, False])
def test_what_was_tried_and_found_is_as_good_as_what_was_published(by_key: bool) -> None:
    """A newer release came before it was: in a burst no change but the first could go key by key."""
    third = release((Row("d"), Row("c")))
    asks, base = asked(Base(OLD, NEW, by_key), held_by(NEW), third)
    assert asks == ["drop b"]
    assert base == Base(OLD, third, by_key=True)
    assert asked(Base(None, NEW, by_key), held_by(NEW), third)[0] == ["drop b"]


def test_what_was_tried_and_did_not_happen_at_all_starts_from_what_is_proven() -> None:
    third = release((Row("a"), Row("b")))
    assert asked(Base(OLD, NEW, by_key=True), held_by(OLD), third)[0] == ["drop c"]
    assert asked(Base(OLD, NEW, by_key=True), held_by(NEW)[1:], third)[0] is None


def test_a_dataset_without_it_is_always_loaded_whole() -> None:
    assert key_by_key(None, Base(OLD), held_by(OLD), NEW) == (None, Base(OLD, NEW))
