"""Hosts that Kamailio could not load now, looked up with a deadline: names, and addresses to which there is no way."""

import socket
from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from errno import EACCES, EINVAL
from typing import TypeVar

from consul_kam.core import reach
from consul_kam.core.records import Host

WORKERS = 16
NEVER = (EACCES, EINVAL)
"""What connect(2) says of a broadcast address, and of an IPv6 one that needs a scope."""
_FAMILIES = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
Asked = TypeVar("Asked", bound=Hashable)


def failing(hosts: Collection[Host], deadline: float) -> tuple[Host, ...]:
    """Which of these Kamailio could not load; names that do not resolve within `deadline` s in all are among them. A
    look-up that hangs is left to end by itself.

    A missing route is none of our business: Kamailio may be in another network namespace.
    """
    addresses = reach.never(hosts)
    found = _look_up(set(hosts) - addresses, deadline, _loads)
    wrong = [host for host, future in found.items() if not (_done(future) and future.result())]
    return tuple(sorted([*wrong, *(host for host in addresses if not _loads(host))]))


def unanswered(
    names: Collection[str], deadline: float, resolves: Callable[[str], bool] | None = None
) -> tuple[str, ...]:
    """Of which of these nobody says within `deadline` s whether they exist: that one does not is an answer too."""
    asked = resolves or (lambda name: _loads(Host(name)))
    return tuple(sorted(name for name, found in _look_up(names, deadline, asked).items() if not _done(found)))


def _look_up(
    asked: Collection[Asked], deadline: float, resolves: Callable[[Asked], bool]
) -> Mapping[Asked, "Future[bool]"]:
    if not asked:
        return {}
    pool = ThreadPoolExecutor(min(WORKERS, len(asked)), thread_name_prefix="resolve")
    lookups = {each: pool.submit(resolves, each) for each in asked}
    wait(lookups.values(), timeout=deadline)
    pool.shutdown(wait=False, cancel_futures=True)
    return lookups


def _done(found: "Future[bool]") -> bool:
    return found.done() and not found.cancelled()


def _loads(host: Host) -> bool:
    try:
        found = socket.getaddrinfo(host.name.strip("[]"), 9, _FAMILIES[host.family], socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return False
    # a name server may put any of them first, which is the one that Kamailio takes [build_rtpp_socks]
    return not host.family or not any(_trouble(family, place) in NEVER for family, *_, place in found)


def _trouble(family: int, place: tuple[object, ...]) -> int:
    """The errno of connecting a UDP socket, from wherever; nothing is sent."""
    try:
        trying = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:  # a sandbox of ours, which is not Kamailio's
        return 0
    with trying:
        try:
            trying.connect(place)
        except OSError as error:
            return error.errno or 0
    return 0
