"""Moments as people type them: a while ago, a time of day, a date."""

import re
from datetime import datetime, timedelta

UNITS = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,3})?) ?(s|min|m|h|d|w)")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2})?")
_EPOCH = re.compile(r"\d{9,11}(\.\d+)?")
EXPECTED = "expected 90s, 15min, 2h, 3d, 1w (ago), 14:30, 2026-01-31, 2026-01-31T14:30 or seconds since 1970"


def moment(text: str, now: float) -> float:
    """Seconds since 1970 of `text`, in local time where it names no other. `now`: likewise.

    A time of day is the last one that was. Raises ValueError.
    """
    text = text.strip()
    if (ago := _AGO.fullmatch(text)) is not None:
        return now - float(ago[1]) * UNITS[ago[2]]
    if _EPOCH.fullmatch(text):
        return float(text)
    try:
        if _CLOCK.fullmatch(text):
            return _last(text, datetime.fromtimestamp(now)).timestamp()
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(EXPECTED) from None


def _last(clock: str, now: datetime) -> datetime:
    parts = [int(part) for part in clock.split(":")]
    found = now.replace(hour=parts[0], minute=parts[1], second=(*parts, 0)[2], microsecond=0)
    return found if found <= now else found - timedelta(days=1)
