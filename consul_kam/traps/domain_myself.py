"""register_myself 1 puts Kamailio's own names into the list."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    if facts.of("domain") and facts.loaded("domain") and facts.number("domain", "register_myself", 0):
        yield Finding("register_myself is 1", modparam("domain", "register_myself", 0))


TRAP = Trap(
    name="domain_myself",
    severity=WARNING,
    doc="register_myself 1 puts Kamailio's own names into the list: memory then differs from the file for ever.",
    mends='`modparam("domain", "register_myself", 0)`',
    source=f"{FACTS}, 4",
    find=find,
)
