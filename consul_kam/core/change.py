"""When a release goes to memory key by key, and when the whole list is loaded."""

from dataclasses import dataclass

from consul_kam.core.compare import equal
from consul_kam.core.dataset import Ask, ByKey
from consul_kam.core.records import Key, Memory, Release

_NONE: frozenset[Key] = frozenset()


@dataclass(frozen=True, slots=True)
class Base:
    """What a change may start from. `proven`: what was last found in memory and published.

    `changed`: digest of the release that was last changed key by key, and was not found in memory yet.
    """

    proven: Release | None = None
    changed: str = ""


def key_by_key(
    by_key: ByKey | None, base: Base, memory: Memory, release: Release
) -> tuple[tuple[Ask, ...] | None, Base]:
    """The RPCs that make `release` of `memory`, or None where the whole list is loaded; and the base from then on.

    Memory that is not as it was proven was changed by others, or is what a Kamailio started with, or what half a change
    left: then nobody knows what else is wrong. The same release a second time is a corrective try. New and changed
    keys come first, so that what moves from one key to another is never without one.
    """
    if by_key is None or base.proven is None or base.changed == release.digest:
        return None, Base(base.proven)
    if not equal(base.proven, memory, _NONE, ordered=False):
        return None, Base(base.proven)
    held = {entry.key: entry.seen for entry in memory}
    wanted = {record.key for record in release.records}
    puts = [by_key.put(record) for record in release.records if held.get(record.key) != record.seen]
    return (*puts, *(by_key.drop(key) for key in held if key not in wanted)), Base(base.proven, release.digest)
