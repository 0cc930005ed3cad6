"""Fields: what they take, what they say of what they do not take."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.grammar import SHOWN, BadValue, Choice, Number, Text, is_literal, read_host, shown
from consul_kam.core.policy import use_of
from consul_kam.core.records import Use
from consul_kam.core.sip_uri import read_uri

LEVEL = Number("level", 1, 10, "here")


@pytest.mark.parametrize("value", [1, 10, "1", "10", "007"])
def test_a_number_may_come_as_digits(value: object) -> None:
    assert LEVEL.read(value) == int(str(value))


@pytest.mark.parametrize(
    "value", [0, 11, -1, 5.0, True, None, "", " 5", "+5", "-5", "5x", "\u0665", "\u00b2", "1" * 21, [5], {}]
)
def test_anything_else_is_no_number(value: object) -> None:
    with pytest.raises(BadValue, match=r"^level is .*, allowed: a whole number from 1 to 10$"):
        LEVEL.read(value)


def test_words_and_patterns() -> None:
    word, text = Choice("word", ("a", "b"), "here"), Text("text", re.compile("x+"), "some x", "here")
    assert word.read("b") == "b"
    assert text.read("xx") == "xx"
    with pytest.raises(BadValue, match=r"^word is 'c', allowed: 'a' or 'b'$"):
        word.read("c")
    with pytest.raises(BadValue, match=r"^text is 'xx\\n', allowed: some x$"):
        text.read("xx\n")


@given(st.one_of(st.text(), st.integers(), st.lists(st.text())))
def test_a_bad_value_is_shown_on_one_short_printable_line(value: object) -> None:
    text = shown(value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= SHOWN


GOOD_HOSTS = ["10.0.0.1", "255.255.255.255", "010.000.000.001", "[::1]", "[2001:DB8::A]", "router", "my_host.example."]
GOOD_HOSTS += ["-odd-", "x" * 63, "10.0.0.1.example", "1a"]
BAD_HOSTS = ["", "0.0.0.0", "000.0.0.0", "127.0.0.256", "10.0.0.999", "1.2.3", "1.2.3.4.5", "12345", "0x7f.1", "a.0x1f"]
BAD_HOSTS += ["::1", "[]", "[::]", "[1.2.3.4]", "[::ffff:1.2.3.4]", "[fe80::1%lo]", "[1:2:3:4:5:6:7::]", "[::1]x"]
BAD_HOSTS += [
    "a b",
    "a\n",
    "a;b",
    "a..b",
    ".a",
    "x" * 64,
    ".".join(["x" * 60] * 5),
    "é",
    "\ud800",
    "a/b",
    "a@b",
    "1.2.3.4.",
]


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_good_hosts(host: str) -> None:
    assert read_host(host) == host
    assert is_literal(host) == (host in GOOD_HOSTS[:5])


@pytest.mark.parametrize("host", [*BAD_HOSTS, None, 7])
def test_bad_hosts(host: object) -> None:
    with pytest.raises(BadValue, match=r"^address is "):
        read_host(host)


def test_an_ipv6_address_without_brackets_gets_them_where_that_is_asked_for() -> None:
    assert read_host("2001:db8::1", bare_ipv6=True) == "[2001:db8::1]"
    for bad in ("::", "1.2.3.4:5", "::ffff:1.2.3.4", "fe80::1%lo"):
        with pytest.raises(BadValue):
            read_host(bad, bare_ipv6=True)


@pytest.mark.parametrize(
    ("given", "text", "host"),
    [
        ("sip:10.0.0.1", "sip:10.0.0.1", "10.0.0.1"),
        ("10.0.0.1:5060", "sip:10.0.0.1:5060", "10.0.0.1"),
        ("SIPS:u:p@[::1]:1;transport=TLS?h=v", "SIPS:u:p@[::1]:1;transport=TLS?h=v", "[::1]"),
        ("sip:sip", "sip:sip", "sip"),
    ],
)
def test_uris(given: str, text: str, host: str) -> None:
    assert (read_uri(given).text, read_uri(given).host) == (text, host)


@given(st.text(max_size=30))
def test_a_uri_that_is_accepted_is_one_word_of_one_line(text: str) -> None:
    try:
        uri = read_uri(text)
    except BadValue:
        return
    assert re.fullmatch(r"[!-~]+", uri.text)
    assert "#" not in uri.text
    assert uri.host in uri.text


@pytest.mark.parametrize(
    ("status", "warning", "critical", "use", "without"),
    [
        ("passing", "out", "out", Use.IN, Use.IN),
        ("warning", "in", "out", Use.IN, Use.IN),
        ("warning", "out", "in", Use.OUT, Use.OUT),
        ("warning", "disable", "in", Use.DISABLED, Use.OUT),
        ("critical", "in", "out", Use.OUT, Use.OUT),
        ("critical", "out", "in", Use.IN, Use.IN),
        ("critical", "out", "disable", Use.DISABLED, Use.OUT),
        ("maintenance", "out", "out", Use.DRAINING, Use.KEPT),
    ],
)
def test_policy(status: str, warning: str, critical: str, use: Use, without: Use) -> None:
    assert use_of(status, warning, critical, True) is use
    assert use_of(status, warning, critical, False) is without


@pytest.mark.parametrize("values", [("dead", "in", "out"), ("passing", "no", "out"), ("passing", "in", None)])
def test_a_policy_that_is_none_is_a_bad_value(values: tuple[object, object, object]) -> None:
    with pytest.raises(BadValue):
        use_of(*values, True)


def test_a_value_is_shown_in_printable_ascii_up_to_a_length() -> None:
    assert shown("x" * (SHOWN - 2)) == f"'{'x' * (SHOWN - 2)}'"
    assert shown("x" * (SHOWN - 1)) == f"'{'x' * (SHOWN - 4)}..."
    assert len(shown("é" * SHOWN)) == SHOWN
    assert shown(7) == "7"


def test_digits_may_begin_with_noughts_as_long_as_there_are_twenty() -> None:
    number = Number("size", 0, 9, "here")
    assert number.read("7".rjust(20, "0")) == 7
    with pytest.raises(BadValue):
        number.read("7".rjust(21, "0"))


@pytest.mark.parametrize("value", ["1٣.0.0.1", "10.0.0.٣", "a.0x7F", "a.0X7f"])
def test_what_is_nearly_an_address_is_no_name(value: str) -> None:
    with pytest.raises(BadValue):
        read_host(value)
