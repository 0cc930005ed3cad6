"""Hosts for which a release cannot be loaded now: names that do not resolve, addresses that nothing connects to."""

from collections.abc import Iterable, Iterator

from consul_kam.core.grammar import is_literal
from consul_kam.core.records import Release


def hosts_of(release: Release) -> set[str]:
    return {record.name for record in release.records if record.name}


def looked_up(hosts: Iterable[str]) -> list[str]:
    """Host names."""
    return sorted(host for host in hosts if not is_literal(host))


def connected(hosts: Iterable[str]) -> set[str]:
    """IP addresses, IPv6 in brackets."""
    return {host for host in hosts if is_literal(host)}


def lacking(hosts: Iterable[str]) -> Iterator[str]:
    """What is wrong with them, for messages."""
    found = list(hosts)
    names = ", ".join(host for host in found if not is_literal(host))
    addresses = ", ".join(host for host in found if is_literal(host))
    if names:
        yield f"cannot resolve {names}"
    if addresses:
        yield f"no socket connects to {addresses}"


def left_out(host: str) -> str:
    """Why a record with this host is left out."""
    why = f"no socket connects to {host}" if is_literal(host) else f"the name {host} does not resolve"
    return f"{why}; tried again"
