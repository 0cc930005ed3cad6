"""Is what Kamailio holds what it shall hold? The one comparison behind verify, drift, status and diff."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consul_kam.core.records import Key, Memory, Record, Release, Seen


@dataclass(frozen=True, slots=True)
class Difference:
    """Keys by what is wrong with them in memory. Falsy where memory is right."""

    missing: tuple[Key, ...] = ()
    extra: tuple[Key, ...] = ()
    changed: tuple[Key, ...] = ()
    """There, with other values, or with a disabled state that is not the wanted one."""
    misordered: tuple[str, ...] = ()
    """Groups whose common records stand in another order than the wanted one."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed or self.misordered)

    @property
    def only_missing(self) -> bool:
        """Kamailio holds a right part of the list and nothing beside it: it refuses the rest."""
        return bool(self.missing) and not (self.extra or self.changed or self.misordered)

    def __str__(self) -> str:
        parts = [f"{len(keys)} {word}" for word in ("missing", "extra", "changed") if (keys := getattr(self, word))]
        if self.misordered:
            parts.append("order of set " + ", ".join(self.misordered))
        return ", ".join(parts) or "equal"


EQUAL = Difference()


def difference(release: Release, memory: Memory, enable: frozenset[Key], ordered: bool) -> Difference:
    """Compare memory with a release.

    `enable`: keys whose disabled state was ours and is no longer wanted. Any other disabled state that the release
    does not ask for is Kamailio's or its operator's: no difference (design.md, rule 4).
    """
    if _equal_at_a_glance(release, memory, enable, ordered):
        return EQUAL
    wanted = {record.key: record for record in release.records}
    held: dict[Key, Seen] = {}
    extra = []
    for entry in memory:
        if entry.key not in wanted or entry.key in held:
            extra.append(entry.key)
        else:
            held[entry.key] = entry
    missing = tuple(key for key in wanted if key not in held)
    changed = tuple(k for k, e in held.items() if not _right(wanted[k], e, release.disabled, enable))
    return Difference(missing, tuple(extra), changed, _misordered(release.records, held) if ordered else ())


def equal(release: Release, memory: Memory, enable: frozenset[Key], ordered: bool) -> bool:
    """Whether `difference` would find nothing; where a record more or less shows, without looking at each."""
    return len(memory) == len(release.records) and not difference(release, memory, enable, ordered)


def _right(record: Record, entry: Seen, disabled: frozenset[Key], enable: frozenset[Key]) -> bool:
    if entry.seen != record.seen:
        return False
    return entry.disabled if record.key in disabled else not (entry.disabled and record.key in enable)


def _equal_at_a_glance(release: Release, memory: Memory, enable: frozenset[Key], ordered: bool) -> bool:
    """The usual case at 10,000 records: the same sequence. Whatever it cannot see at once is compared in full."""
    if not ordered or len(memory) != len(release.records):
        return False
    pairs = zip(release.records, memory, strict=True)
    if release.disabled or enable:
        return all(r.key == e.key and _right(r, e, release.disabled, enable) for r, e in pairs)
    return all(r.key == e.key and r.seen == e.seen for r, e in pairs)


def _misordered(records: Sequence[Record], held: Mapping[Key, Seen]) -> tuple[str, ...]:
    """`held`: what both have, in memory's order."""
    groups = {record.key: record.group for record in records if record.key in held}
    wanted: dict[str, list[Key]] = {}
    for key, group in groups.items():
        wanted.setdefault(group, []).append(key)
    found: dict[str, list[Key]] = {}
    for key in held:
        found.setdefault(groups[key], []).append(key)
    return tuple(sorted(group for group, keys in wanted.items() if found[group] != keys))
