"""Whom a word means: an address in any spelling, an ID, a node, a path, a key; for each dataset's keys."""

import pytest

from consul_kam.core.meant import Meant, means_key, means_place, means_source, meant
from consul_kam.core.records import Key, Source
from consul_kam.datasets import dataset


@pytest.mark.parametrize(
    ("word", "wanted"),
    [
        ("10.0.0.1", Meant("10.0.0.1", "10.0.0.1")),
        (" 10.0.0.1:5060 ", Meant("10.0.0.1:5060", "10.0.0.1", "5060")),
        ("sip:10.0.0.1:5060;transport=tcp", Meant("sip:10.0.0.1:5060;transport=tcp", "10.0.0.1", "5060")),
        ("sip:bob@Router.Example", Meant("sip:bob@Router.Example", "router.example")),
        ("udp:10.0.0.1:2223", Meant("udp:10.0.0.1:2223", "10.0.0.1", "2223")),
        ("2001:DB8::1", Meant("2001:DB8::1", "2001:db8::1")),
        ("sip:[2001:db8:0::1]:5060", Meant("sip:[2001:db8:0::1]:5060", "2001:db8::1", "5060")),
        ("router-7", Meant("router-7", "router-7")),
        ("sets/1/a", Meant("sets/1/a", "sets", "")),
        ("a:b:c", Meant("a:b:c")),
        ("two words", Meant("two words")),
    ],
)
def test_an_address_is_found_in_any_spelling(word: str, wanted: Meant) -> None:
    found = meant(word)
    assert (found.text, found.port) == (wanted.text, wanted.port)
    assert found.host == wanted.host or "/" in word


ONE: Key = (1, "sip:10.0.0.1:5060")


@pytest.mark.parametrize(
    ("name", "key", "seen", "word", "wanted"),
    [
        ("dispatcher", ONE, (), "sip:10.0.0.1:5060", True),
        ("dispatcher", ONE, (), "1 sip:10.0.0.1:5060", True),
        ("dispatcher", ONE, (), "10.0.0.1", True),
        ("dispatcher", ONE, (), "10.0.0.1:5060", True),
        ("dispatcher", ONE, (), "10.0.0.1:5061", False),
        ("dispatcher", ONE, (), "10.0.0.10", False),
        ("dispatcher", ONE, (10, (("duid", "r01"),)), "r01", True),
        ("dispatcher", (1, "sip:[2001:db8::1]:5060"), (), "2001:db8:0:0::1", True),
        ("dispatcher", (1, "sip:a.example"), (), "a.example:5060", True),
        ("domain", ("a.example",), (), "A.example", True),
        ("domain", ("10.0.0.1",), ("did",), "10.0.0.1:5060", True),
        ("rtpengine", (0, "udp:10.0.0.1:2223"), (1,), "10.0.0.1:2223", True),
        ("rtpengine", (0, "udp:10.0.0.1:2223"), (1,), "udp:10.0.0.1:2223", True),
        ("rtpengine", (0, "udp:10.0.0.1:2223"), (1,), "10.0.0.1:2224", False),
        ("address", (1, "10.0.0.0", 24, 0), ("",), "10.0.0.77", True),
        ("address", (1, "10.0.0.0", 24, 0), ("",), "10.0.1.77", False),
        ("address", (1, "10.0.0.9", 24, 0), ("",), "10.0.0.77", True),
        ("address", (1, "10.0.0.0", 24, 0), ("",), "r1", False),
        ("address", (1, "10.0.0.1", 32, 5060), ("",), "10.0.0.1:5060", True),
        ("htable", ("r01",), ("str", "10.0.0.1:5060"), "r01", True),
        ("htable", ("r01",), ("str", "10.0.0.1:5060"), "10.0.0.1:5060", True),
        ("htable", ("r01",), ("str", "sip:10.0.0.1:5060"), "10.0.0.1:5060", True),
        ("htable", ("r01",), ("str", "10.0.0.1:5060"), "r02", False),
    ],
)
def test_the_keys_of_each_dataset(name: str, key: Key, seen: tuple[object, ...], word: str, wanted: bool) -> None:
    assert means_key(meant(word), dataset(name), key, seen) is wanted


@pytest.mark.parametrize("word", ["r1", "router/r1", "n1"])
def test_a_source_is_meant_by_id_service_and_node(word: str) -> None:
    assert means_source(meant(word), Source("router", "r1", "n1"))
    assert not means_source(meant(word), Source("sbc", "r2", "n2"))


def test_a_kv_path_is_meant_with_and_without_its_mark() -> None:
    assert means_source(meant("sets/1/a"), Source("", "kv:sets/1/a"))
    assert means_source(meant("kv:sets/1/a"), Source("", "kv:sets/1/a"))


def test_nothing_means_nothing() -> None:
    assert not means_source(meant(" "), Source())
    assert not means_key(meant(""), dataset("dispatcher"), ONE)
    assert not means_place(meant("r1"), "", 0)


def test_a_place_in_consul_is_meant_with_its_port_or_without() -> None:
    assert means_place(meant("10.0.0.1"), "10.0.0.1", 5060)
    assert means_place(meant("sip:10.0.0.1:5060"), "10.0.0.1", 5060)
    assert not means_place(meant("10.0.0.1:5061"), "10.0.0.1", 5060)
