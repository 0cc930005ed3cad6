"""Hosts for which a release cannot be loaded now."""

from errno import EACCES, ENETUNREACH

import pytest

from consul_kam.core.plan import make_release
from consul_kam.core.reach import connected, lacking, left_out, looked_up, out_of_reach
from consul_kam.core.records import Record, Seen


def record(name: str) -> Record:
    return Record(key=(0, name), group="0", seen=(), line=name, sort=(name,), name=name)


HOSTS = ["", "b.example", "a.example", "10.0.0.1", "[2001:db8::1]", "255.255.255.255"]
RELEASE = make_release(map(record, HOSTS))
BAD = {"[2001:db8::1]": ENETUNREACH, "255.255.255.255": EACCES}


def test_names_are_looked_up_and_addresses_connected_to() -> None:
    assert looked_up(RELEASE) == ["a.example", "b.example"]
    assert connected(RELEASE) == {"10.0.0.1", "[2001:db8::1]", "255.255.255.255"}


@pytest.mark.parametrize(
    ("loaded", "no_way", "out"),
    [
        ([], {}, []),
        ([], BAD, ["255.255.255.255", "[2001:db8::1]"]),
        (["[2001:db8::1]"], BAD, ["255.255.255.255"]),
        (["255.255.255.255", "[2001:db8::1]"], BAD, []),
        ([], BAD | {"10.0.0.1": ENETUNREACH}, ["255.255.255.255"]),
    ],
    ids=["all is well", "two", "one is loaded", "both are", "no network at all"],
)
def test_what_must_not_be_loaded(loaded: list[str], no_way: dict[str, int], out: list[str]) -> None:
    memory = tuple(Seen((0, host), (), "") for host in loaded)
    assert out_of_reach(RELEASE, memory, no_way) == out


def test_what_is_said() -> None:
    assert list(lacking(["a", "10.0.0.1", "b", "[::1]"])) == [
        "cannot resolve a, b",
        "there is no way to 10.0.0.1, [::1] from here",
    ]
    assert list(lacking(["a"])) == ["cannot resolve a"]
    assert list(lacking(["10.0.0.1"])) == ["there is no way to 10.0.0.1 from here"]
    assert left_out("a") == "the name a does not resolve; tried again"
    assert left_out("[::1]") == "there is no way to [::1] from here; tried again"
