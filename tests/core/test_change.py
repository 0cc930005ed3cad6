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
    assert base == Base(OLD, NEW.digest)


def test_the_order_of_memory_has_no_meaning() -> None:
    assert asked(Base(OLD), held_by(OLD)[::-1])[0] == ["put d v", "put b other", "drop a"]


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
    assert asked(Base(OLD), memory) == (None, Base(OLD))


def test_a_first_start_and_a_corrective_try_load_the_whole() -> None:
    assert asked(Base(), held_by(OLD)) == (None, Base())
    assert asked(Base(OLD, NEW.digest), held_by(OLD)) == (None, Base(OLD))
    assert asked(Base(OLD, "another"), held_by(OLD))[0] is not None


def test_a_dataset_without_it_is_always_loaded_whole() -> None:
    assert key_by_key(None, Base(OLD), held_by(OLD), NEW) == (None, Base(OLD))
