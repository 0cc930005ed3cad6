"""A certificate in the last third of its life."""

from collections.abc import Iterator

from consul_kam.core.certificate import moment
from consul_kam.core.trap import WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.certificates:
        if not each.trouble and each.leaf is not None and each.leaf.near(facts.now):
            ends = f"[{each.table}]: {each.path} ends at {moment(each.leaf.ends)}"
            yield Finding(
                f"{ends}: less than a third of its life is left", "see why whoever issues it has not renewed it"
            )


TRAP = Trap(
    name="certificate_ends",
    severity=WARNING,
    doc="A certificate is in the last third of its life; who renews at two thirds is late.",
    mends="mend what renews it",
    source="docs/tls.md",
    find=find,
)
