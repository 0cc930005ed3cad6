"""A destination with an IPv6 address is dropped at the load, answered Ok, where dns_try_ipv6 is off."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    live = facts.running.values.get("core.dns_try_ipv6") if facts.running is not None else None
    off = live == 0 if live is not None else facts.script is not None and not facts.script.on("dns_try_ipv6", True)
    found = [str(r.key[-1]) for each in facts.of("dispatcher") for r in each.used if "[" in str(r.key[-1])]
    if off and found:
        yield Finding(f"{len(found)} destinations have an IPv6 address: {', '.join(found[:3])}", "dns_try_ipv6=yes")


TRAP = Trap(
    name="ipv6_off",
    severity=ERROR,
    doc="A destination with an IPv6 address is dropped at the load, answered Ok, where dns_try_ipv6 is off.",
    mends="`dns_try_ipv6=yes`",
    source=f"{FACTS}, 2",
    find=find,
)
