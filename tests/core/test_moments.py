"""Moments as people type them."""

from datetime import datetime

import pytest

from consul_kam.core.moments import moment

NOON = datetime(2026, 5, 4, 12, 0, 0).timestamp()


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", 90), ("1.5h", 5400), ("15min", 900), ("15m", 900), ("2 d", 172_800), ("1w", 604_800),
        ("11:59", 60), ("12:00", 0), ("12:00:01", 86_399), ("2026-05-04", 43_200), (" 2026-05-04T11:00 ", 3600),
    ],
)  # fmt: skip
def test_what_people_type(text: str, ago: float) -> None:
    assert moment(text, NOON) == NOON - ago


def test_moments_that_name_their_zone_or_none_at_all() -> None:
    assert moment("1970-01-01T01:00:00+01:00", NOON) == 0
    assert moment("1700000000.5", NOON) == 1_700_000_000.5


@pytest.mark.parametrize("text", ["", "x", "25:00", "-1h", "1y", "2026-13-01", "1:2", "nan", "9999999999999"])
def test_anything_else_is_told_what_is_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected 90s, "):
        moment(text, NOON)
