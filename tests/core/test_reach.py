"""Hosts for which a release cannot be loaded now."""

from dataclasses import replace

from consul_kam.core.plan import make_release
from consul_kam.core.reach import connected, for_a_start, hosts_of, lacking, left_out, never
from consul_kam.core.records import Host, Record


def record(host: Host | None) -> Record:
    return Record(key=(0, str(host)), group="0", seen=(), line=str(host), sort=(str(host),), host=host)


NAMES = [Host("b.example"), Host("a.example", 4), Host("a.example", 6)]
ADDRESSES = [Host("10.0.0.1", 4), Host("[2001:db8::1]", 6), Host("255.255.255.255", 4)]


def test_some_are_connected_to_and_no_name_server_mends_an_address() -> None:
    release = make_release(map(record, [None, *NAMES, *ADDRESSES]))
    assert hosts_of(release) == {*NAMES, *ADDRESSES}
    assert never(hosts_of(release)) == {*ADDRESSES}
    assert connected(release) == {*NAMES[1:], *ADDRESSES}


def test_what_is_said() -> None:
    assert list(lacking([*NAMES, Host("c.example"), *ADDRESSES])) == [
        "cannot resolve b.example, c.example",
        "cannot resolve a.example to an IPv4 address to connect to",
        "cannot resolve a.example to an IPv6 address to connect to",
        "no socket connects to 10.0.0.1, [2001:db8::1], 255.255.255.255",
    ]
    assert list(lacking(ADDRESSES[:1])) == ["no socket connects to 10.0.0.1"]
    assert [left_out(host) for host in (*NAMES[:2], ADDRESSES[1])] == [
        "the name b.example does not resolve; tried again",
        "the name a.example does not resolve to an IPv4 address to connect to; tried again",
        "no socket connects to [2001:db8::1]; tried again",
    ]


def test_a_start_goes_without_them_but_for_the_last_names_of_a_set() -> None:
    """An address that nothing connects to is none later either."""
    one, two = (Host(name, 4) for name in ("one.example", "two.example"))
    wrong = Host("255.255.255.255", 4)
    records = [replace(record(host), key=(group, str(host)), group=group) for group, host in (
        ("0", one), ("0", wrong), ("0", Host("10.0.0.1", 4)), ("1", one), ("1", two), ("1", wrong), ("2", wrong),
    )]  # fmt: skip
    found = for_a_start(make_release(records), (one, two, wrong))
    assert sorted(each.key for each in found) == [("0", "10.0.0.1"), ("1", "one.example"), ("1", "two.example")]
