"""The guards: they hold removals, never additions. Design.md section 3, rule 7.

`decide` is pure: what Consul's newest answer wants, what the last release held and what the guards remember go in;
what the next release shall hold, and the new memory, come out. Times are seconds of the wall clock, because the
memory outlives a restart.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from consul_kam.core.records import Key, Record, Release, Use

MEMORY = 600.0
"""Seconds that a peak and a leaving are remembered."""
FLAPS = 3
"""Leavings within MEMORY that make a record a flapping one."""
WHOLE = ""
"""The group that stands for all groups together."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`[datasets.NAME]` of the configuration; each is meant per set."""

    min_records: int = 1
    max_shrink: float = 0.5
    hold_for: float = 60.0
    min_callable: int = 1
    probing: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """A record that Consul no longer wants and that stays for now. `until`: None while its set is below min_records."""

    left: float
    why: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """What is remembered of one set (or of all together)."""

    samples: tuple[tuple[float, int], ...] = ()
    """(time, live records), less those excused since; one for each change of the members."""
    below: float = 0.0
    """The last moment with live < min_records."""

    def peak(self, now: float) -> int:
        """The most live records of the last MEMORY seconds; a sample lasts until the next one."""
        recent = [count for index, (_, count) in enumerate(self.samples) if self._end(index, now) >= now - MEMORY]
        return max(recent, default=0)

    def _end(self, index: int, now: float) -> float:
        return self.samples[index + 1][0] if index + 1 < len(self.samples) else now

    def sampled(self, now: float, live: int, changed: bool = True) -> "Group":
        """With this moment's count, where the members changed, and without what is too old to matter."""
        kept = tuple(s for i, s in enumerate(self.samples) if self._end(i, now) >= now - MEMORY)
        if changed or not kept or kept[-1][1] != live:
            kept += ((now, live),)
        return replace(self, samples=kept)

    def excused(self, joined: float, left: float) -> "Group":
        """Without one record in all samples that counted it: it went on purpose."""
        return replace(self, samples=tuple((t, max(0, n - 1) if joined <= t < left else n) for t, n in self.samples))


@dataclass(frozen=True, slots=True)
class Past:
    """The guards' memory, JSON-able by consul_kam.core.past."""

    groups: Mapping[str, Group] = field(default_factory=dict)
    joined: Mapping[Key, float] = field(default_factory=dict)
    """When a record became live; only of the last MEMORY seconds."""
    live: Mapping[Key, str] = field(default_factory=dict)
    """The live records of the last answer, and their groups."""
    leaves: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)
    holds: Mapping[Key, Hold] = field(default_factory=dict)
    granted: frozenset[Key] = frozenset()
    """Records that an operator allowed to be disabled though they are the last ones of their set."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the guards say. `kept`: the held records; `wake`: when to decide again (wall clock), or None."""

    kept: tuple[Record, ...]
    holds: Mapping[Key, Hold]
    spared: Mapping[Key, str]
    """Records that Consul wants disabled and that stay in use: the last ones of their set."""
    newly_held: tuple[Key, ...]
    past: Past
    wake: float | None


def decide(
    answer: Collection[Record], last: Release | None, past: Past, limits: Limits, now: float, approved: bool = False
) -> Decision:
    """Hold what must not leave yet.

    `answer`: one record a key, all uses. `last`: the release that the removals are counted from. `approved`: an
    operator's word: everything that is held may go.
    """
    by_key = {record.key: record for record in answer}
    live = {record.key: record.group for record in answer if record.use is Use.IN}
    past = _remember(_seeded(past, last, now), by_key, live, limits, now)
    # What is said word for word as before is the same object as before, mostly.
    other = [record for record in last.records if by_key.get(record.key) is not record] if last is not None else []
    leaving = [record for record in other if last is not None and _leaves(record, by_key, last)]
    holds: dict[Key, Hold] = {}
    for record in leaving:
        before = past.holds.get(record.key)
        hold = None if approved else _hold(record, before, by_key.get(record.key), past, limits, now, len(live))
        if hold is not None:
            holds[record.key] = hold
        elif before is not None or approved:
            past = _excuse(past, record, before.left if before is not None else now)
    newly = tuple(key for key in holds if key not in past.holds)
    past = replace(past, holds=holds)
    kept = tuple(record for record in leaving if record.key in holds)
    spared = _spare(answer, live, last, past, limits)
    sets = {by_key[key].group for key in spared} if approved else set()
    granted = {r.key for r in answer if r.use is not Use.IN and (r.key in past.granted or r.group in sets)}
    past = replace(past, granted=frozenset(granted))
    waits = [hold.until for hold in holds.values() if hold.until is not None]
    return Decision(kept, holds, {} if approved else spared, newly, past, min(waits, default=None))


def _seeded(past: Past, last: Release | None, now: float) -> Past:
    """What the memory lacks (first start, lost or old file) is as in the last release."""
    if last is None:
        return past
    unknown = {r.group for r in last.records if r.use is Use.IN} - past.groups.keys()
    if not unknown:
        return past
    live = {r.key: r.group for r in last.records if r.use is Use.IN and r.group in unknown}
    counts = Counter(live.values())
    counts[WHOLE] = len(live) + len(past.live)
    groups = {name: past.groups.get(name, Group()).sampled(now, count) for name, count in counts.items()}
    return replace(past, groups={**past.groups, **groups}, live={**past.live, **live})


def _leaves(record: Record, by_key: Mapping[Key, Record], last: Release) -> bool:
    """In use until now, and no longer wanted so. What drains goes when it goes; what was spared is spared again."""
    new = by_key.get(record.key)
    if record.use is not Use.IN or new is None:
        return record.use is Use.IN
    return new.use is Use.OUT or (new.use is Use.DISABLED and record.key not in last.named)


def _remember(past: Past, by_key: Mapping[Key, Record], live: Mapping[Key, str], limits: Limits, now: float) -> Past:
    """The new answer counted: joins, leavings, drains, one sample a group."""
    joined = {key: at for key, at in past.joined.items() if at >= now - MEMORY}
    if past.live:
        joined.update(dict.fromkeys(live.keys() - past.live.keys(), now))
    leaves = {key: kept for key, times in past.leaves.items() if (kept := tuple(t for t in times if t >= now - MEMORY))}
    gone = past.live.keys() - live.keys()
    groups = dict(past.groups)
    for key in gone:
        record = by_key.get(key)
        if record is None or record.use not in (Use.DRAINING, Use.KEPT):
            leaves[key] = (*leaves.get(key, ()), now)
        else:
            for name in (past.live[key], WHOLE):
                groups[name] = groups.get(name, Group()).excused(past.joined.get(key, 0.0), now)
    counts = dict.fromkeys((*groups, WHOLE), 0)
    counts.update(Counter(live.values()))
    counts[WHOLE] = len(live)
    changed = {*(past.live[key] for key in gone), *(live[key] for key in live.keys() - past.live.keys())}
    changed |= {WHOLE} if changed else set()
    for name, count in counts.items():
        before = groups.get(name, Group())
        group = before.sampled(now, count, name in changed)
        # Until this very answer the set was as the last one left it.
        least = limits.min_records
        below = now if count < least or (before.samples and before.samples[-1][1] < least) else group.below
        groups[name] = replace(group, below=below)
    return replace(past, groups=groups, joined=joined, live=live, leaves=leaves)


def _hold(
    record: Record, before: Hold | None, now_said: Record | None, past: Past, limits: Limits, now: float, total: int
) -> Hold | None:
    """Whether this record, about to leave, stays; None lets it go."""
    live, group = _count(past, record.group), past.groups[record.group]
    least = limits.min_records
    # Consul calls it critical (it is not absent), and nobody probes whether it lives: calls to it would fail.
    if now_said is not None and not limits.probing and live >= max(least, 1):
        return None
    if before is None:
        why = _reason(record, past, limits, now, total)
        if why == "":
            return None
        before = Hold(left=now, why=why)
    below = live < least
    if not below and now - MEMORY <= before.left < now and live >= group.peak(now):
        return None
    until = max(before.left, group.below) + limits.hold_for
    if not below and now >= until:
        return None
    return replace(before, until=None if below else until)


def _reason(record: Record, past: Past, limits: Limits, now: float, total: int) -> str:
    """Why a record may not leave now; "" where it may."""
    live = _count(past, record.group)
    if live < limits.min_records:
        return f"only {live} left, at least {limits.min_records} wanted"
    for name, count in ((record.group, live), (WHOLE, total)):
        peak = past.groups[name].peak(now)
        if count < round((1 - limits.max_shrink) * peak, 6):
            where = "all together" if name == WHOLE else f"set {name}"
            return f"{where} fell from {peak} to {count} within {MEMORY / 60:.0f} min"
    if len(past.leaves.get(record.key, ())) >= FLAPS:
        return f"it left {len(past.leaves[record.key])} times within {MEMORY / 60:.0f} min"
    return ""


def _count(past: Past, group: str) -> int:
    return past.groups[group].samples[-1][1]


def _excuse(past: Past, record: Record, left: float) -> Past:
    joined = past.joined.get(record.key, 0.0)
    groups = {n: g.excused(joined, left) if n in (record.group, WHOLE) else g for n, g in past.groups.items()}
    return replace(past, groups=groups)


def _spare(
    answer: Iterable[Record], live: Mapping[Key, str], last: Release | None, past: Past, limits: Limits
) -> dict[Key, str]:
    """The last `min_callable` of a set are never disabled, until others live."""
    disabled_before = last.disabled if last is not None else frozenset()
    wanting: dict[str, list[Record]] = {}
    for record in answer:
        if (
            record.use in (Use.DRAINING, Use.DISABLED)
            and record.key not in past.holds
            and record.key not in past.granted
        ):
            wanting.setdefault(record.group, []).append(record)
    spared = {}
    for group, records in wanting.items():
        lacking = limits.min_callable - sum(1 for g in live.values() if g == group)
        for record in sorted(records, key=lambda r: (r.key in disabled_before, r.sort))[: max(0, lacking)]:
            spared[record.key] = f"it is among the last {limits.min_callable} of set {group} that can take calls"
    return spared
