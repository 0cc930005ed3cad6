"""Attributes as Kamailio reads them, by themselves; lists of them are cases in tests/datasets/cases/dispatcher."""

import pytest

from consul_kam.core.attrs import check_attrs, read_attrs
from consul_kam.core.grammar import BadValue, Number

KNOWN = {"weight": Number("weight", 1, 100, "here"), "duid": None}


@pytest.mark.parametrize(
    ("text", "attrs"),
    [
        ("", ()),
        (";", ()),
        ("none=yes", ()),
        ("b=2;a=1;", (("a", "1"), ("b", "2"))),
        ("a=x=y", (("a", "x=y"),)),
        ("a", (("a", ""),)),
        ("a='1;2'", (("a", "'1;2'"),)),
        ('a="1;2"', (("a", '"1;2"'),)),
        ("a='1;2';b=\"3;4\"", (("a", "'1;2'"), ("b", '"3;4"'))),
    ],
)
def test_attrs_are_sorted_pairs(text: str, attrs: tuple[tuple[str, str], ...]) -> None:
    assert read_attrs(text) == attrs


@pytest.mark.parametrize("text", ["", "weight=50", "weight='50'", 'Weight="50"', "weight=+50", "other='50;60'", "x,y"])
def test_what_kamailio_reads_as_it_stands_is_good(text: str) -> None:
    assert check_attrs(text, KNOWN) == text
    assert check_attrs(f"{text};" if text else "", KNOWN) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("weight=101", "weight is 101, allowed: a whole number from 1 to 100"),
        ("weight='101'", "weight is 101, allowed: a whole number from 1 to 100"),
        ('weight="1a"', "weight is '1a', allowed: a whole number from 1 to 100"),
        ("weight=1;WEIGHT=2", "attrs is 'weight=1;WEIGHT=2', allowed: weight once: Kamailio reads the first and drops"),
        ("duid=a,b", "attrs is 'duid=a,b', allowed: no comma: Kamailio reads nothing behind it"),
        ("duid=a=b,c", "attrs is 'duid=a=b,c', allowed: no comma: Kamailio reads nothing behind it"),
        ("a=1;;", "attrs is 'a=1;;', allowed: NAME=VALUE;NAME=VALUE without blanks and control characters, quotes in"),
        ("a= 1", "attrs is 'a= 1', allowed: NAME=VALUE;NAME=VALUE without blanks and control characters, quotes in"),
    ],
)
def test_what_kamailio_would_read_otherwise_is_refused_and_told(text: str, message: str) -> None:
    with pytest.raises(BadValue) as error:
        check_attrs(text, KNOWN)
    assert str(error.value).startswith(message)
