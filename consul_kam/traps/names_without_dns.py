"""A destination with flag 16 has no address in memory."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    asks = script is not None and "ds_is_from_list" in script.text
    blind = facts.probing and facts.running is not None and facts.running.version >= (6,)
    for each in facts.of("dispatcher") if asks or blind else ():
        found = [str(r.key[-1]) for r in each.used if _no_dns(r.line)]
        if found:
            why = "ds_is_from_list refuses them" if asks else "6.0 does not ping them"
            yield Finding(
                f"{len(found)} destinations have flag 16, {why}: {', '.join(found[:5])}",
                "an Address in Consul that is an IP address, and no flag 16",
            )


def _no_dns(line: str) -> bool:
    words = line.split(" ")
    return len(words) > 2 and words[2].isdecimal() and bool(int(words[2]) & 16)


TRAP = Trap(
    name="names_without_dns",
    severity=WARNING,
    doc="A destination with flag 16 has no address in memory: ds_is_from_list does not know it, and from 6.0 "
    "on it is never pinged.",
    mends="register addresses; flags 0 for an IP literal",
    source=f"{FACTS}, 2",
    find=find,
)
