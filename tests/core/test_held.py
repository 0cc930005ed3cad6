"""What is known of secrets, written and read back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core import held as kept
from consul_kam.core.lease import Held, Lease, Login

numbers = st.floats(0, 1e9)
leases = st.builds(
    Lease, numbers, st.none() | numbers, st.none() | numbers, st.booleans(), st.text(), numbers, st.booleans()
)
helds = st.builds(Held, st.just(7), st.text(), st.text(), st.text(), leases, st.integers(0), numbers, st.text())
HELD = Held(7, "w", "l", "d", Lease(1.0, 2.0, 2.0, True, "id", 0.5), 3, 4.0, "s")


@given(helds)
def test_a_secret_comes_back_as_it_was(held: Held) -> None:
    assert kept.load(kept.dump(held), 7) == held


@given(leases)
def test_a_login_comes_back_for_who_asks_in_the_same_way(lease: Lease) -> None:
    told = kept.dump_login(Login("t", "i", lease), "how")
    assert kept.load_login(told, "how") == Login("t", "i", lease)
    assert kept.load_login(told, "else") is None
    assert kept.load_login({**told, "token": 1}, "how") is None
    assert kept.load_login({**told, "id": None}, "how") is None
    assert kept.load_login({**told, "lease": {**told["lease"], "taken": 10**400}}, "how") is None


@pytest.mark.parametrize(
    "damage",
    [
        {"generation": 8},
        {"want": 1},
        {"version": "x"},
        {"version": float("inf")},
        {"at": float("inf")},
        {"at": 10**400},
        {"lease": None},
        {"lease": {}},
        {"lease": {**kept.dump(HELD)["lease"], "taken": float("nan")}},
        {"lease": {**kept.dump(HELD)["lease"], "life": float("inf")}},
        {"lease": {**kept.dump(HELD)["lease"], "draw": 10**400}},
    ],
)
def test_what_is_damaged_says_nothing(damage: dict[str, Any]) -> None:
    assert kept.load(kept.dump(HELD) | damage, 7) is None


def test_what_is_not_there_says_nothing() -> None:
    assert kept.load(None, 7) is None
    assert kept.load({}, 7) is None
    assert kept.load_login(None, "how") is None
    assert kept.load_login({}, "how") is None
