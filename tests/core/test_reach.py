"""Hosts for which a release cannot be loaded now."""

from consul_kam.core.plan import make_release
from consul_kam.core.reach import connected, hosts_of, lacking, left_out, looked_up
from consul_kam.core.records import Record


def record(name: str) -> Record:
    return Record(key=(0, name), group="0", seen=(), line=name, sort=(name,), name=name)


HOSTS = ["", "b.example", "a.example", "10.0.0.1", "[2001:db8::1]", "255.255.255.255"]
RELEASE = make_release(map(record, HOSTS))


def test_names_are_looked_up_and_addresses_connected_to() -> None:
    assert looked_up(hosts_of(RELEASE)) == ["a.example", "b.example"]
    assert connected(hosts_of(RELEASE)) == {"10.0.0.1", "[2001:db8::1]", "255.255.255.255"}


def test_what_is_said() -> None:
    assert list(lacking(["a", "10.0.0.1", "b", "[::1]"])) == [
        "cannot resolve a, b",
        "no socket connects to 10.0.0.1, [::1]",
    ]
    assert list(lacking(["a"])) == ["cannot resolve a"]
    assert list(lacking(["10.0.0.1"])) == ["no socket connects to 10.0.0.1"]
    assert left_out("a") == "the name a does not resolve; tried again"
    assert left_out("[::1]") == "no socket connects to [::1]; tried again"
