"""Each ping that nobody answers holds a transaction for fr_timer."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap, modparam

A_PING = 1.8
"""kB of shared memory a ping takes until it is over; 10,000 every 2 s, 30 s each, filled 256 MB."""


def find(facts: Facts) -> Iterator[Finding]:
    every = facts.number("dispatcher", "ds_ping_interval", 0)
    fr_timer = facts.number("tm", "fr_timer", 30_000, "fr_timer") or 0
    shared = (facts.running.shm_total if facts.running is not None else None) or 64 * 2**20
    if every:
        need = facts.destinations / every * fr_timer / 1000 * A_PING * 1024
        if need > shared / 2:
            cure = modparam("dispatcher", "ds_ping_interval", max(every * 2, round(every * need / shared * 4)))
            yield Finding(f"unanswered pings need {need / 2**20:.0f} MB of {shared / 2**20:.0f} MB shared memory", cure)


TRAP = Trap(
    name="big_pings",
    severity=WARNING,
    doc="Each ping that nobody answers holds a transaction for fr_timer: 10,000 destinations pinged every 2 s "
    "filled 256 MB of shared memory.",
    mends="a longer `ds_ping_interval`, a shorter tm `fr_timer`, more `-m`",
    source=f"{FACTS}, 2",
    find=find,
)
