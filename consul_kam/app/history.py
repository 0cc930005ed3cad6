"""What was: the journal and the releases, read from the state directory, whether an engine runs or not."""

import csv
import io
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any

from consul_kam.adapters.journal import Follower, wanted
from consul_kam.adapters.releases import Releases, Stored
from consul_kam.app.reports import text
from consul_kam.app.stored import DAMAGED, restored
from consul_kam.config import Settings
from consul_kam.core import moments
from consul_kam.core.dataset import Dataset, file_name
from consul_kam.core.records import Record, Release
from consul_kam.datasets import dataset
from consul_kam.errors import ConsulKamError

POLL = 0.25
"""Seconds between two looks for what is new."""
COLUMNS = (
    "time", "at", "dataset", "what", "release", "records", "added", "removed", "changed", "held", "dropped", "reason",
    "entry",
)  # fmt: skip
"""Of an export as CSV; `entry` is the whole line of the journal."""
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would work out instead of showing it."""


class NotThere(ConsulKamError):
    """No such release, or none that can be read (exit code 1)."""


def since(text: str) -> float:
    """Seconds since 1970. Raises ValueError, whose text says what is expected."""
    return moments.moment(text, time.time())


# -- releases -----------------------------------------------------------------------------------------------------


def between(settings: Settings, name: str | None, first: str, second: str | None) -> dict[str, Any]:
    """How the release `second` (None: the newest) differs from `first`. Raises NotThere, ConfigError, OSError.

    `added` and `removed`: lines; `changed`: key, before and after; `reordered`: whether those in both changed places.
    """
    chosen = (
        settings.dataset(name) if name is not None else next(iter(settings.enabled), settings.dataset("dispatcher"))
    )
    place = settings.releases / file_name(chosen.name)
    if not place.is_dir():
        raise NotThere(f"cannot compare releases of {chosen.name}: there are none in {place}")
    releases, kind = Releases(place), dataset(chosen.name)
    try:
        pair = [_found(releases, chosen.name, each) for each in (first, second)]
        before, after = (_whole(kind, stored) for stored in pair)
    except DAMAGED as error:
        raise NotThere(f"cannot compare releases of {chosen.name}: one of them is damaged: {error}") from None
    return {"dataset": chosen.name, "a": _about(pair[0]), "b": _about(pair[1]), **differences(before, after)}


def _found(releases: Releases, name: str, wanted: str | None) -> Stored:
    names = releases.names()
    if wanted is None:
        fitting = names[-1:]
    else:
        fitting = [
            each for each in names if wanted in (each, *each.split("-")) or wanted == each.split("-")[0].lstrip("0")
        ]
    stored = releases.load(fitting[-1]) if fitting else None
    if stored is None:
        there = f"there are {names[0]} to {names[-1]}" if names else "there are none"
        raise NotThere(f"cannot find release {wanted or ''} of {name}: {there}; see `consul-kam history`")
    return stored


def _whole(kind: Dataset, stored: Stored) -> Release:
    """Raises one of DAMAGED, also where somebody changed it: it is evidence."""
    release = restored(kind, stored)
    if not release.digest.startswith(stored.name.rpartition("-")[2]):
        raise ValueError(f"{stored.name} does not hold what its digest says")
    return release


def _about(stored: Stored) -> dict[str, Any]:
    return {"release": stored.name, "at": stored.about.get("at"), "records": stored.about.get("records")}


def differences(before: Release, after: Release) -> dict[str, Any]:
    """What makes the second release another one than the first."""
    old, new = ({record.key: record for record in release.records} for release in (before, after))
    common = [record.key for record in after.records if record.key in old]
    changed = [
        {"key": text(key), "before": _line(old[key], before), "after": _line(new[key], after)}
        for key in common
        if _line(old[key], before) != _line(new[key], after)
    ]
    found = {
        "added": [_line(record, after) for key, record in new.items() if key not in old],
        "removed": [_line(record, before) for key, record in old.items() if key not in new],
        "changed": changed,
        "reordered": common != [record.key for record in before.records if record.key in new],
    }
    return {"equal": not any(found.values()), **found}


def _line(record: Record, release: Release) -> str:
    return record.line + ("  (disabled)" if record.key in release.disabled else "")


# -- the journal --------------------------------------------------------------------------------------------------


def follow(
    settings: Settings,
    name: str | None,
    since: float,
    limit: int,
    pause: Callable[[], object] = lambda: time.sleep(POLL),
) -> Iterator[dict[str, Any]]:
    """The newest `limit` entries, then each that comes, without an end. Raises OSError.

    Full journals and engines that end and start are no end of it; no more than `limit` entries are kept.
    """
    journal = Follower(settings.journal)
    yield from deque((entry for entry in journal.read() if wanted(entry, name, since)), maxlen=limit)
    while True:
        pause()
        for entry in journal.read():
            if wanted(entry, name, since):
                yield entry


def export(
    settings: Settings, name: str | None, since: float, until: float | None, as_csv: bool
) -> tuple[Iterator[str], Callable[[], int]]:
    """(Lines of the whole journal, oldest first, without their ends; how many could not be read so far)."""
    journal = Follower(settings.journal)
    entries = (entry for entry in journal.read() if wanted(entry, name, since, inf if until is None else until))
    return _csv(entries) if as_csv else map(json.dumps, entries), lambda: journal.damaged


def _csv(entries: Iterator[dict[str, Any]]) -> Iterator[str]:
    yield _csv_line(COLUMNS)
    for entry in entries:
        yield _csv_line([_cell(value) for value in _values(entry)])


def _values(entry: Mapping[str, Any]) -> tuple[object, ...]:
    at, counts, held, dropped = (entry.get(key) for key in ("at", "counts", "held", "dropped"))
    told = isinstance(at, int | float) and 0 <= at < 1e11
    counted = counts if isinstance(counts, dict) else {}
    return (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) if told else "",
        at,
        entry.get("dataset"),
        entry.get("verdict") or entry.get("event"),
        entry.get("digest") or entry.get("release"),
        entry.get("records"),
        *(counted.get(kind) for kind in ("added", "removed", "changed")),
        "; ".join(f"{key}: {why}" for key, why in held.items()) if isinstance(held, dict) else "",
        "; ".join(map(str, dropped)) if isinstance(dropped, list) else "",
        entry.get("reason"),
        json.dumps(entry),
    )


def _cell(value: object) -> object:
    """Of one line, and never a formula: names from Consul stand in it."""
    if value is None or isinstance(value, int | float):
        return "" if value is None else value
    plain = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value))
    return "'" + plain if plain.startswith(FORMULAS) else plain


def _csv_line(cells: Any) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
