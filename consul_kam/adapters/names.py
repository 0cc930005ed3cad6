"""Hosts that Kamailio could not load now: names, looked up with a deadline, and addresses to which there is no way."""

import socket
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from errno import EACCES, EINVAL

WORKERS = 16
NEVER = (EACCES, EINVAL)
"""What connect(2) says of a broadcast address, and of an IPv6 one that needs a scope."""


def failing(names: Collection[str], deadline: float) -> tuple[str, ...]:
    """Which of these do not resolve within `deadline` s in all. A look-up that hangs is left to end by itself."""
    return tuple(
        name for name, found in _look_up(names, deadline, _resolves).items() if not (_done(found) and found.result())
    )


def unanswered(
    names: Collection[str], deadline: float, resolves: Callable[[str], bool] | None = None
) -> tuple[str, ...]:
    """Of which of these nobody says within `deadline` s whether they exist: that one does not is an answer too."""
    return tuple(name for name, found in _look_up(names, deadline, resolves or _resolves).items() if not _done(found))


def no_way(addresses: Collection[str]) -> tuple[str, ...]:
    """To which of these IP addresses (IPv6 in brackets) no UDP socket can be connected, from wherever; nothing is sent.

    A missing route is none of our business: Kamailio may be in another network namespace.
    """
    return tuple(sorted(address for address in addresses if _trouble(address) in NEVER))


def _trouble(address: str) -> int:
    host = address.strip("[]")
    try:
        trying = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:  # a sandbox of ours, which is not Kamailio's
        return 0
    with trying:
        try:
            trying.connect((host, 9))
        except OSError as error:
            return error.errno or 0
    return 0


def _look_up(names: Collection[str], deadline: float, resolves: Callable[[str], bool]) -> Mapping[str, "Future[bool]"]:
    if not names:
        return {}
    pool = ThreadPoolExecutor(min(WORKERS, len(names)), thread_name_prefix="resolve")
    lookups = {name: pool.submit(resolves, name) for name in sorted(names)}
    wait(lookups.values(), timeout=deadline)
    pool.shutdown(wait=False, cancel_futures=True)
    return lookups


def _done(found: "Future[bool]") -> bool:
    return found.done() and not found.cancelled()


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM))
    except (OSError, UnicodeError):
        return False
