"""Hosts for which a release cannot be loaded now: names that do not resolve, addresses to which there is no way."""

from collections.abc import Iterable, Iterator, Mapping
from errno import EACCES

from consul_kam.core.grammar import is_literal
from consul_kam.core.records import Memory, Release


def looked_up(release: Release) -> list[str]:
    """Host names."""
    return sorted({record.name for record in release.records if record.name and not is_literal(record.name)})


def connected(release: Release) -> set[str]:
    """IP addresses, IPv6 in brackets."""
    return {record.name for record in release.records if record.name and is_literal(record.name)}


def out_of_reach(release: Release, memory: Memory, no_way: Mapping[str, int]) -> list[str]:
    """Addresses that must not be loaded. `no_way`: those to which there is none -> why, by errno.

    One that is loaded counts no more; nor, where there is no way to any, does one but for a broadcast: then it is this
    host that has no network.
    """
    if not no_way:
        return []
    loaded = {entry.key for entry in memory}
    known = {record.name for record in release.records if record.key in loaded}
    cut_off = len(no_way) == len(connected(release))
    return sorted(each for each, why in no_way.items() if each not in known and (why == EACCES or not cut_off))


def lacking(hosts: Iterable[str]) -> Iterator[str]:
    """What is wrong with them, for messages."""
    found = list(hosts)
    names = ", ".join(host for host in found if not is_literal(host))
    addresses = ", ".join(host for host in found if is_literal(host))
    if names:
        yield f"cannot resolve {names}"
    if addresses:
        yield f"there is no way to {addresses} from here"


def left_out(host: str) -> str:
    """Why a record with this host is left out."""
    why = f"there is no way to {host} from here" if is_literal(host) else f"the name {host} does not resolve"
    return f"{why}; tried again"
