"""What each field may be, by the numbers: the last value that is taken, the first that is not, and the words for it."""

import json

import pytest

from consul_kam.core.grammar import INT_MAX
from consul_kam.core.policy import use_of
from consul_kam.core.records import Use
from consul_kam.datasets import dataset

DISPATCHER = {"setid": 1, "address": "10.0.0.1"}
ADDRESS = {"group": 1, "address": "10.0.0.1"}
RTPENGINE = {"setid": 1, "address": "10.0.0.1"}
HTABLE = {"key": "a", "value": "b"}


def said(name: str, fields: dict[str, object]) -> str:
    """Why this one record is not used, or "" where it is."""
    kind = name.partition(":")[0]
    data = f"{json.dumps(fields)}\n" + json.dumps({"end": name, "records": 1}) + "\n"
    answer = dataset(name).parse_staging(kind, data.encode())
    assert len(answer.records) + len(answer.problems) == 1
    return answer.problems[0].reason if answer.problems else ""


@pytest.mark.parametrize(
    ("name", "fields", "field", "low", "high"),
    [
        ("dispatcher", DISPATCHER, "setid", 0, INT_MAX),
        ("dispatcher", DISPATCHER, "flags", 0, 63),
        ("dispatcher", DISPATCHER, "priority", 0, INT_MAX),
        ("dispatcher", DISPATCHER, "port", 1, 65535),
        ("dispatcher", DISPATCHER, "maxload", 0, INT_MAX),
        ("dispatcher", {**DISPATCHER, "weight_as": "rweight"}, "weight", 1, 65535),
        ("address", ADDRESS, "group", 0, INT_MAX),
        ("address", ADDRESS, "port", 1, 65535),
        ("address", ADDRESS, "min_prefix", 0, 32),
        ("address", {"group": 1, "address": "2001:db8::1"}, "min_prefix6", 0, 128),
        ("rtpengine", RTPENGINE, "setid", 0, INT_MAX),
        ("rtpengine", RTPENGINE, "port", 1, 65535),
        ("rtpengine", RTPENGINE, "weight", 0, INT_MAX),
        ("htable", {"key_as": "address", "address": "10.0.0.1", "value": "b"}, "port", 1, 65535),
    ],
)
def test_numbers_have_bounds(name: str, fields: dict[str, object], field: str, low: int, high: int) -> None:
    assert said(name, {**fields, field: low}) == said(name, {**fields, field: high}) == ""
    for value in (low - 1, high + 1):
        if value == 0 and name == "htable":
            continue  # no port
        reason = f"{field} is {value}, allowed: a whole number from {low} to {high}"
        assert said(name, {**fields, field: value}) == reason


@pytest.mark.parametrize(
    ("attr", "low", "high"),
    [
        ("weight", 1, 100),
        ("rweight", 1, 100),
        *((name, 0, INT_MAX) for name in ("maxload", "latency", "cc", "ocmin", "ocmax", "ocrate")),
    ],
)
def test_attributes_have_bounds(attr: str, low: int, high: int) -> None:
    read = dataset("dispatcher").parse_native
    for value, good in ((low, True), (high, True), (low - 1, False), (high + 1, False)):
        answer = read("list", f"1 sip:10.0.0.1 0 0 {attr}={value}\n".encode())
        assert bool(answer.records) == good
        if not good:
            assert answer.problems[0].reason.startswith(f"{attr} is ")
            assert answer.problems[0].reason.endswith(f", allowed: a whole number from {low} to {high}")


@pytest.mark.parametrize(
    ("name", "fields", "field", "words"),
    [
        ("dispatcher", DISPATCHER, "scheme", ["sip", "sips"]),
        ("dispatcher", DISPATCHER, "transport", ["udp", "tcp", "tls", "sctp", "ws", "wss"]),
        ("dispatcher", DISPATCHER, "weight_as", ["rweight", "weight", "none"]),
        ("rtpengine", RTPENGINE, "proto", ["udp", "ws", "wss"]),
        ("rtpengine", {**RTPENGINE, "address": "2001:db8::1"}, "proto", ["udp6", "ws", "wss"]),
        ("rtpengine", RTPENGINE, "weight_as", ["weight", "none"]),
        ("htable", {**HTABLE, "value": "7"}, "type", ["str", "int"]),
        ("htable", {**HTABLE, "address": "10.0.0.1"}, "key_as", ["text", "address", "uri"]),
        *((name, fields, "status", ["passing", "warning", "critical", "maintenance"]) for name, fields in (
            ("dispatcher", DISPATCHER), ("address", ADDRESS), ("rtpengine", RTPENGINE), ("htable", HTABLE)
        )),
        *(("dispatcher", DISPATCHER, field, ["in", "out", "disable"]) for field in ("warning", "critical")),
    ],
)  # fmt: skip
def test_words_are_these(name: str, fields: dict[str, object], field: str, words: list[str]) -> None:
    assert [said(name, {**fields, field: word}) for word in words] == [""] * len(words)
    for word in ("nonsense", words[0].upper()):
        assert said(name, {**fields, field: word}).startswith(f"{field.removeprefix('key_')} is '{word}', allowed: ")


@pytest.mark.parametrize(
    ("name", "fields", "field", "good", "bad", "allowed"),
    [
        ("dispatcher", DISPATCHER, "socket", ["udp:10.0.0.1:5060", "tls:[2001:db8::1]", "a_b-c", "a" * 200],
         ["udp:10.0.0.1;x", "a b", "", "é", "a" * 201], "PROTO:ADDRESS[:PORT]"),
        ("dispatcher", DISPATCHER, "sockname", ["Own_1.a-b", "a" * 200],
         ["a:b", "[a]", "é", "a" * 201], "letters, digits, dots and hyphens"),
        ("address", {**ADDRESS, "entry": "10.0.0.1"}, "tag", ["carrier-A", "é"],
         ["a b", "a#b", "a\x7fb", "\x1f"], "text without blanks and #"),
        ("domain", {"domain": "a.example"}, "did", ["é b", "x" * 4096],
         ["\x1f", "a\x7f", "x" * 4097], "1 to 4096 characters, no control ones"),
        ("htable", HTABLE, "key", ["é b", "x" * 255, "[a]"],
         ["", "[", "}", "\x1f", "a\x7f", "x" * 256], "1 to 255 characters, no control ones, no lone bracket"),
        ("htable", HTABLE, "value", ["é b", "x" * 1024, "{a"],
         ["", "]", "{", "\x1f", "a\x7f", "x" * 1025], "1 to 1024 characters, no control ones, no lone bracket"),
    ],
)  # fmt: skip
def test_texts_are_of_these_characters(
    name: str, fields: dict[str, object], field: str, good: list[str], bad: list[str], allowed: str
) -> None:
    assert [said(name, {**fields, field: text}) for text in good] == [""] * len(good)
    for text in bad:
        reason = said(name, {**fields, field: text})
        assert not text or (reason.startswith(f"{field} is ") and reason.endswith(f", allowed: {allowed}"))


@pytest.mark.parametrize(
    ("name", "entry", "bad", "allowed"),
    [
        ("dispatcher", "sip:10.0.0.1 0 5 duid=a", "\x01", "a dispatcher line without its setid"),
        ("address", "10.0.0.1 32 5060 tag", "\x01", "ADDRESS [MASK [PORT [TAG]]]"),
        ("domain", "a.example did", "a b c", "DOMAIN [DID]"),
        ("rtpengine", "udp:10.0.0.1 5", "a b c", "URL [WEIGHT]"),
        ("htable", "a=b", "ab", "KEY=VALUE"),
    ],
)
def test_entries_have_a_form(name: str, entry: str, bad: str, allowed: str) -> None:
    fields = {"dispatcher": {"setid": 1}, "address": {"group": 1}}.get(name, {})
    assert said(name, {**fields, "entry": entry}) == ""
    assert said(name, {**fields, "entry": bad}).endswith(f", allowed: {allowed}")


def test_what_policies_make_of_a_status() -> None:
    table = {
        ("passing", "out", "out"): Use.IN,
        ("warning", "in", "out"): Use.IN,
        ("warning", "out", "in"): Use.OUT,
        ("warning", "disable", "in"): Use.DISABLED,
        ("critical", "out", "in"): Use.IN,
        ("critical", "in", "out"): Use.OUT,
        ("critical", "in", "disable"): Use.DISABLED,
        ("maintenance", "in", "in"): Use.DRAINING,
    }
    assert {key: use_of(*key, disables=True) for key in table} == table
    assert use_of("maintenance", "in", "in", disables=False) is Use.KEPT
    assert use_of("critical", "in", "disable", disables=False) is Use.OUT
