"""Shared memory."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    running = facts.running
    if (
        running is not None
        and running.shm_total
        and running.shm_free is not None
        and running.shm_free < running.shm_total / 10
    ):
        size = running.shm_total / 2**20
        yield Finding(
            f"{running.shm_free / 2**20:.0f} of {size:.0f} MB are free",
            f"kamailio -m {2 * size:.0f} (SHM_MEMORY in /etc/default/kamailio)",
        )


TRAP = Trap(
    name="shared_memory",
    severity=WARNING,
    doc="Less than a tenth of Kamailio's shared memory is free: a reload holds two lists at once, and calls "
    "need theirs.",
    mends="`kamailio -m 256`",
    source=f"{FACTS}, 2",
    find=find,
)
