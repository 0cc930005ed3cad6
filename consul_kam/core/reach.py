"""Hosts for which a release cannot be loaded now: names that do not resolve, addresses that nothing connects to."""

from collections.abc import Collection, Iterable, Iterator

from consul_kam.core.grammar import is_literal
from consul_kam.core.records import Host, Record, Release


def hosts_of(release: Release) -> set[Host]:
    return {record.host for record in release.records if record.host is not None}


def connected(release: Release) -> set[Host]:
    """Those that a socket is connected to: Kamailio loads a record without it, and tries again, and again."""
    return {host for host in hosts_of(release) if host.family}


def for_a_start(release: Release, lost: Collection[Host]) -> list[Record]:
    """The records that a Kamailio shall start with, where these hosts are lost.

    A name stays that is all that is left of its set: it may resolve by the time of a call, and Kamailio does not start
    where its script names a set that is missing [rtpengine.c, fixup_set_id].
    """
    sets = {record.group for record in release.records if record.host not in lost}
    never_good = never(lost)
    return [
        record
        for record in release.records
        if record.host not in lost or (record.group not in sets and record.host not in never_good)
    ]


def never(hosts: Iterable[Host]) -> set[Host]:
    """Those that no name server makes good: addresses."""
    return {host for host in hosts if is_literal(host.name)}


def lacking(hosts: Iterable[Host]) -> Iterator[str]:
    """What is wrong with them, for messages."""
    found = list(hosts)
    for family in (0, 4, 6):
        names = ", ".join(host.name for host in found if host.family == family and not is_literal(host.name))
        if names:
            yield f"cannot resolve {names}" + (f" to an IPv{family} address to connect to" if family else "")
    addresses = ", ".join(host.name for host in found if is_literal(host.name))
    if addresses:
        yield f"no socket connects to {addresses}"


def left_out(host: Host) -> str:
    """Why a record with this host is left out."""
    if is_literal(host.name):
        why = f"no socket connects to {host.name}"
    elif host.family:
        why = f"the name {host.name} does not resolve to an IPv{host.family} address to connect to"
    else:
        why = f"the name {host.name} does not resolve"
    return f"{why}; tried again"
