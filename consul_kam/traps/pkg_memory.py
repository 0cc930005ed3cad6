"""ctl's large limits need private memory."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, MANY, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.running is None or facts.destinations < MANY or not facts.running.argv:
        return
    given = facts.running.option("-M")
    size = int(given) if given.isdecimal() else 8
    if size < 64:
        yield Finding(
            f"{facts.destinations} destinations, and Kamailio runs with -M {size}",
            "kamailio -M 64 (PKG_MEMORY=64 in /etc/default/kamailio)",
        )


TRAP = Trap(
    name="pkg_memory",
    severity=WARNING,
    doc="ctl's large limits need private memory: with the default 8 MB a big reply fails all the same.",
    mends="`kamailio -M 64`",
    source=f"{FACTS}, 1",
    find=find,
)
