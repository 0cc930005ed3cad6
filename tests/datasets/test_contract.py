"""What each dataset asks of Kamailio and writes for it, as one table: no RPC, header or waiting time changes unseen.

Of those that ship; one that is added has a test file of its own.
"""

import pytest

from consul_kam.core.dataset import Ask
from consul_kam.datasets import dataset

KEYS = {
    "dispatcher": {"setid": 1, "priority": None, "weight_as": "rweight"},
    "address": {"group": 1, "port": "any", "min_prefix": 24, "min_prefix6": 64},
    "domain": {},
    "rtpengine": {"setid": 0, "port": None, "proto": "udp", "weight_as": "weight"},
    "htable": {"key": "id", "value": "address", "type": "str"},
    "htable:x": {"key": "id", "value": "address", "type": "str"},
}
RELOADS = {
    "dispatcher": Ask("dispatcher.reload"),
    "address": Ask("permissions.addressReload"),
    "domain": Ask("domain.reload"),
    "rtpengine": Ask("rtpengine.reload"),
    "htable": Ask("htable.reload", ("htable",)),
    "htable:x": Ask("htable.reload", ("x",)),
}
READBACKS = {
    "dispatcher": [("dispatcher.list", ())],
    "address": [(f"permissions.{name}Dump", ()) for name in ("address", "subnet", "domain")],
    "domain": [("domain.dump", ())],
    "rtpengine": [("rtpengine.show", ("all",))],
    "htable": [("htable.dump", ("htable",))],
    "htable:x": [("htable.dump", ("x",))],
}
EMPTY = {
    "dispatcher": b"# empty on purpose (consul-kam)\n",
    "address": b"# empty on purpose (consul-kam)\n",
    "domain": b"id(int,auto) domain(string) did(string) last_modified(int)\n\n",
    "rtpengine": b"id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)\n\n",
    "htable": b"id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n\n",
    "htable:x": b"id(int,auto) key_name(string) key_type(int) value_type(int) key_value(string) expires(int)\n\n",
}
VERSIONS = {
    "domain": b"table_name(string) table_version(int)\ndomain:2\ndomain_attrs:1\n",
    "rtpengine": b"table_name(string) table_version(int)\nrtpengine:1\n",
}
WAITS = {
    "dispatcher": (5.0, ("ongoing reload",), 0.1, 5.1),
    "address": (5.0, ("ongoing reload",), 0.1, 0.1),
    "domain": (0.0, (), 0.1, 0.1),
    "rtpengine": (10.0, ("too short reload interval",), 0.1, 0.1),
    "htable": (0.0, (), 0.0, 0.0),
    "htable:x": (0.0, (), 0.0, 0.0),
}
"""Kamailio's window in seconds and its faults for "too soon"; our gap without records and with 10,000."""
FIRST = {"dispatcher": "router", "address": "router", "domain": "router", "rtpengine": "rtp"}
every = pytest.mark.parametrize("name", KEYS)


@every
def test_keys_of_its_sets_and_their_defaults(name: str) -> None:
    found = dataset(name)
    assert {key.name: key.default for key in found.set_keys} == KEYS[name]
    assert {key.name: key.grammar.name for key in found.set_keys} == {key: key for key in KEYS[name]}  # type: ignore[union-attr]
    assert found.first_set == ({"service": FIRST[name]} if name in FIRST else None)


@every
def test_what_it_asks(name: str) -> None:
    found = dataset(name)
    assert found.reload == RELOADS[name]
    assert [(ask.method, ask.params) for ask in found.readback] == READBACKS[name]


@every
def test_what_it_writes(name: str) -> None:
    found = dataset(name)
    assert found.notation.write([]) == EMPTY[name]
    companion = found.notation.companion(None)
    assert (companion and companion[1]) == VERSIONS.get(name)
    attrs = b"id(int,auto) did(string) name(string) type(int) value(string) last_modified(int)\n"
    assert found.notation.needs() == ({"domain_attrs": attrs} if name == "domain" else {})


@every
def test_how_long_it_waits(name: str) -> None:
    found = dataset(name)
    window, faults, least, most = WAITS[name]
    assert (found.window.seconds, found.window.faults, found.window.attempts_count) == (window, faults, False)
    assert (found.gap.seconds(0), found.gap.seconds(10_000)) == (least, pytest.approx(most))


@every
def test_what_it_can(name: str) -> None:
    found = dataset(name)
    own = {"dispatcher": ["carry", "inactivate", "states"], "rtpengine": ["as_disabled", "carry"]}
    able = ("as_disabled", "by_key", "carry", "inactivate", "instance", "states")
    by_key = ["by_key", "instance"] if name.startswith("htable") else []
    assert [each for each in able if getattr(found, each) is not None] == own.get(name, by_key)
    assert found.ordered == (name == "dispatcher")
    assert sorted(found.unverifiable) == {
        "dispatcher": ["address", "flags"],
        "address": ["host bits", "order", "tag"],
        "domain": ["order"],
        "rtpengine": ["health", "order"],
    }.get(name, ["expiry"])
