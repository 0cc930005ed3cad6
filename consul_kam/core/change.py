"""When a release goes to memory key by key, and when the whole list is loaded."""

from dataclasses import dataclass

from consul_kam.core.compare import equal
from consul_kam.core.dataset import Ask, ByKey
from consul_kam.core.records import Key, Memory, Release

_NONE: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Base:
    """What a change may start from. `proven`: what was last found in memory and published.

    `tried`: what was last applied since, `by_key` or as a whole; a newer release may come before it is published.
    """

    proven: Release | None = None
    tried: Release | None = None
    by_key: bool = False


def key_by_key(
    by_key: ByKey | None, base: Base, memory: Memory, release: Release
) -> tuple[tuple[Ask, ...] | None, Base]:
    """The RPCs that make `release` of `memory`, or None where the whole list is loaded; and the base from then on.

    Memory that is neither as it was proven nor as it was tried was changed by others, or is what a Kamailio started
    with, or what half a change left: then nobody knows what else is wrong. The same release a second time is a
    corrective try. New and changed keys come first, so that what moves from one key to another is never without one.
    """
    whole = Base(base.proven, release)
    again = base.by_key and base.tried is not None and base.tried.digest == release.digest
    known = [start for start in (base.tried, base.proven) if start is not None]
    if by_key is None or again or not any(equal(start, memory, _NONE, ordered=False) for start in known):
        return None, whole
    held = {entry.key: entry.seen for entry in memory}
    wanted = {record.key for record in release.records}
    puts = [by_key.put(record) for record in release.records if held.get(record.key) != record.seen]
    return (*puts, *(by_key.drop(key) for key in held if key not in wanted)), Base(base.proven, release, by_key=True)
