"""Kamailio looks each host name up again at every write, its own and those of others."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.of("dispatcher"):
        names = sorted({record.host.name for record in each.used if record.host is not None})
        if names:
            yield Finding(
                f"{len(names)} host names are looked up at each write: {', '.join(names[:5])}",
                "an Address in Consul that is an IP address",
            )


TRAP = Trap(
    name="names",
    severity=NOTE,
    doc="Kamailio looks each host name up again at every write, its own and those of others: while DNS is away "
    "they drop out of its memory, and the look-up holds up every RPC.",
    mends="register addresses",
    source=f"{FACTS}, 2",
    find=find,
)
