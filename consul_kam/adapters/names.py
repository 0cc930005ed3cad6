"""Host names, looked up with a deadline, because Kamailio drops at a load what does not resolve then."""

import socket
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, wait

WORKERS = 16


def failing(names: Collection[str], deadline: float) -> tuple[str, ...]:
    """Which of these do not resolve within `deadline` s in all. A look-up that hangs is left to end by itself."""
    if not names:
        return ()
    pool = ThreadPoolExecutor(min(WORKERS, len(names)), thread_name_prefix="resolve")
    lookups = {name: pool.submit(_resolves, name) for name in sorted(names)}
    wait(lookups.values(), timeout=deadline)
    pool.shutdown(wait=False, cancel_futures=True)
    return tuple(name for name, lookup in lookups.items() if not (lookup.done() and lookup.result()))


def _resolves(name: str) -> bool:
    try:
        return bool(socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM))
    except (OSError, UnicodeError):
        return False
