"""Hosts that Kamailio could not load now, looked up with a deadline: names, and addresses to which there is no way."""

import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from consul_kam.core import reach
from consul_kam.core.records import Host

WORKERS = 16
STALE = 60.0
"""Seconds after which an answer that nobody has heard yet is one no more."""
_FAMILIES = {0: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}
Asked = TypeVar("Asked", Host, str)
_NOBODY_KNOWS = (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY)


def look_up(host: Host) -> bool | None:
    """Whether Kamailio could load it now; None: no name server says. A missing route is none of our business: Kamailio
    may be in another network namespace."""
    try:
        found = socket.getaddrinfo(host.name.strip("[]"), 9, _FAMILIES[host.family], socket.SOCK_DGRAM)
    except socket.gaierror as error:
        return None if error.errno in _NOBODY_KNOWS else False
    except (OSError, UnicodeError):
        return False
    # a name server may put any of them first, which is the one that Kamailio takes [build_rtpp_socks]
    return not host.family or not any(_is_never_connected(family, place) for family, *_, place in found)


class Lookups:
    """Those of one list. A name is looked up once at a time: an answer that comes late is that of the next question."""

    def __init__(
        self, look: Callable[[Host], bool | None] = look_up, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look, self._clock = look, clock
        self._under_way: dict[Host, tuple[Future[bool | None], float]] = {}

    def failing(self, hosts: Collection[Host], deadline: float, surely: bool = False) -> tuple[Host, ...]:
        """Which of these Kamailio could not load; those of which nobody knows within `deadline` s are among them, but
        where it has to be so `surely`."""
        addresses = reach.never(hosts)
        said = {host: self._look(host) for host in addresses}
        said |= self._ask(set(hosts) - addresses, deadline)
        return tuple(sorted(host for host, loads in said.items() if loads is False or (loads is None and not surely)))

    def _ask(self, hosts: set[Host], deadline: float) -> dict[Host, bool | None]:
        now, under_way = self._clock(), self._under_way
        for host, (answer, began) in [*under_way.items()]:
            if answer.done() and began < now - STALE:
                del under_way[host]
        begun = _begin(hosts - under_way.keys(), self._look)
        under_way |= {host: (answer, now) for host, answer in begun.items()}
        asked = {host: under_way[host][0] for host in hosts}
        done, _ = wait(asked.values(), timeout=deadline)
        for host, answer in asked.items():
            if answer in done:
                del under_way[host]
        return {host: answer.result() if answer in done else None for host, answer in asked.items()}


def unanswered(
    names: Collection[str], deadline: float, resolves: Callable[[str], bool | None] | None = None
) -> tuple[str, ...]:
    """Of which of these nobody says within `deadline` s whether they exist: that one does not is an answer too. Each is
    asked anew: whose answer came late before is slow still."""
    begun = _begin(names, resolves or (lambda name: look_up(Host(name))))
    _, late = wait(begun.values(), timeout=deadline)
    for answer in late:
        answer.cancel()
    return tuple(name for name, answer in begun.items() if answer in late)


def _begin(asked: Collection[Asked], look: Callable[[Asked], bool | None]) -> dict[Asked, Future[bool | None]]:
    """In this order, some at a time; none is waited for."""
    if not asked:
        return {}
    pool = ThreadPoolExecutor(min(WORKERS, len(asked)), thread_name_prefix="resolve")
    begun = {each: pool.submit(look, each) for each in sorted(asked)}
    pool.shutdown(wait=False)
    return begun


def _is_never_connected(family: int, place: tuple[Any, ...]) -> bool:
    """A broadcast address, or a link-local one without its scope: no UDP socket is connected to it, from wherever.
    Nothing is sent. Routes that forbid it fail alike [connect(2), EACCES and EINVAL]."""
    try:
        trying = socket.socket(family, socket.SOCK_DGRAM)
    except OSError:  # a sandbox of ours, which is not Kamailio's
        return False
    with trying:
        try:
            trying.connect(place)
        except OSError as error:
            if error.errno == errno.EACCES:
                return _is_broadcast(trying, place)
            return error.errno == errno.EINVAL and ipaddress.ip_address(place[0]).is_link_local
    return False


def _is_broadcast(trying: socket.socket, place: tuple[Any, ...]) -> bool:
    trying.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    try:
        trying.connect(place)
    except OSError:
        return False
    return True
