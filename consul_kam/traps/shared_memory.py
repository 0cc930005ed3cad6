"""Less than a tenth of Kamailio's shared memory is free."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    running = facts.running
    total, free = (running.shm_total or 0.0, running.shm_free or 0.0) if running is not None else (0.0, 0.0)
    if 0 <= free < total / 10:
        size = total / 2**20
        cure = f"kamailio -m {2 * size:.0f} (SHM_MEMORY in /etc/default/kamailio)"
        yield Finding(f"{free / 2**20:.0f} of {size:.0f} MB are free", cure)


TRAP = Trap(
    name="shared_memory",
    severity=WARNING,
    doc="Less than a tenth of Kamailio's shared memory is free: a reload holds two lists at once, and calls "
    "need theirs.",
    mends="`kamailio -m 256`",
    source=f"{FACTS}, 2",
    find=find,
)
