"""Three readings of a list: what a person reads, what Kamailio holds, what `consul-kam check` said. Do they agree?"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from consul_kam.app.check import Checked, check_as
from consul_kam.core.dataset import Dataset
from consul_kam.core.dbtext import DbText
from consul_kam.core.plan import live_file, make_release
from consul_kam.core.records import Problem, Use
from tools.oracle.adapter import Adapter, Entry
from tools.oracle.excuses import EXCUSES, Excuse
from tools.oracle.kamailio import NO_START, Loaded

FILE = "list"
SLOW = 5.0
"""Seconds after which a load counts as one that blocks Kamailio's RPC."""


class Loads(Protocol):
    """A Kamailio."""

    def load(self, data: bytes) -> Loaded: ...


class Fate(Enum):
    """What became of a list, in words for operators."""

    WHOLE = "loads as written"
    FAULT = "load fails, old list stays"
    LOST = "load fails, old list is gone"
    NO_START = "Kamailio does not start"
    DIED = "Kamailio ends"
    BLOCKED = "the load blocks Kamailio"
    DROPPED = "entries left out without a word"
    ADDED = "more entries than the list has"
    ALTERED = "loaded as something else"
    ORDER = "loaded in another order"


@dataclass(frozen=True, slots=True)
class Judged:
    """One list. `trouble`: how check and Kamailio disagree, or ""; `excuses`: which exceptions were needed."""

    accepted: bool
    fate: Fate
    loaded: Loaded
    checked: Checked
    trouble: str = ""
    excuses: tuple[Excuse, ...] = ()


def judge(adapter: Adapter, data: bytes, kamailio: Loads) -> Judged:
    """Check the list, have it loaded, compare."""
    checked = check_as(adapter.dataset, FILE, data)
    loaded = _load_good(kamailio, data) if checked.good else kamailio.load(data)
    read = adapter.read(data)
    fate = fate_of(read, loaded)
    if checked.good:
        here = [entry for entry in read if not adapter.machine(entry)]
        told = fate_of(here, loaded)
        trouble = "" if told is Fate.WHOLE else f"check accepts it, and Kamailio: {told.value}"
        trouble += f": {loaded.log}" if trouble and loaded.log else ""
        return Judged(True, fate, loaded, checked, trouble)
    excuses, unexcused = _excuses(adapter.dataset, checked, data)
    if fate is not Fate.WHOLE:
        return Judged(False, fate, loaded, checked)
    trouble = f"Kamailio loads it whole, and check: {unexcused}" if unexcused else ""
    return Judged(False, fate, loaded, checked, trouble, excuses)


def _load_good(kamailio: Loads, data: bytes) -> Loaded:
    """What a list does it does again. A start of thousands failed once for a reason of the machine's."""
    loaded = kamailio.load(data)
    return kamailio.load(data) if loaded.fault == NO_START else loaded


def judge_written(adapter: Adapter, checked: Checked, data: bytes, kamailio: Loads) -> str:
    """Why what the engine writes for the good records of a list is not loaded whole, or says other things; or ""."""
    records = [record for record in checked.records if record.use is Use.IN]
    if not records:
        return ""
    written = live_file(adapter.dataset, make_release(records), {}, frozenset())
    read = adapter.read(written)
    foreign = Counter(read) - Counter(adapter.read(data))
    if foreign:
        return f"check reads what the list does not say: {list(foreign)}"
    loaded = _load_good(kamailio, written)
    fate = fate_of([entry for entry in read if not adapter.machine(entry)], loaded)
    return "" if fate is Fate.WHOLE else f"what we write for it, Kamailio: {fate.value}: {written!r}"


def fate_of(expected: Sequence[Entry], loaded: Loaded) -> Fate:
    """Compare memory with what the list says."""
    if loaded.died:
        return Fate.DIED
    if loaded.fault == NO_START:
        return Fate.NO_START
    if loaded.fault:
        return Fate.FAULT if loaded.kept else Fate.LOST
    if loaded.seconds > SLOW:
        return Fate.BLOCKED
    if list(loaded.entries) == list(expected):
        return Fate.WHOLE
    wanted, held = Counter(expected), Counter(loaded.entries)
    missing, extra = wanted - held, held - wanted
    if missing and extra:
        return Fate.ALTERED
    if missing:
        return Fate.DROPPED
    return Fate.ADDED if extra else Fate.ORDER


def _excuses(dataset: Dataset, checked: Checked, data: bytes) -> tuple[tuple[Excuse, ...], str]:
    """(the exceptions that cover all that check said, the first thing that none covers or "")."""
    said = [(checked.error, "")] if checked.error else [(str(p), _refused(dataset, p, data)) for p in checked.dropped]
    found = []
    for text, value in said:
        excuse = next((excuse for excuse in EXCUSES if excuse.covers(dataset.name, text, value)), None)
        if excuse is None:
            return (), text
        found.append(excuse)
    return tuple(dict.fromkeys(found)), ""


def _refused(dataset: Dataset, problem: Problem, data: bytes) -> str:
    """The word or the table's field where a problem is."""
    line = data.split(b"\n")[problem.line - 1].decode("utf-8", "surrogateescape")
    rest = line[problem.column - 1 :]
    if not isinstance(dataset.notation, DbText):
        word = re.split(r"[ \t\r]", rest, maxsplit=1)[0]
        number = re.match(r"(\d+)#", word, re.ASCII)  # a comment may begin at the very end of a word
        return number[1] if number else word
    field = re.match(r"(?:[^\\:]|\\.)*", rest)
    assert field is not None
    return re.sub(r"\\(.)", lambda match: {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1]), field[0])
