"""A certificate that nobody would take: what its files hold is not used."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.certificates:
        if each.trouble:
            yield Finding(f"[{each.table}]: {each.trouble}", f"issue another one, into {each.path}")


TRAP = Trap(
    name="certificate_unfit",
    severity=ERROR,
    doc="What the files of a certificate hold is not used: key and certificate do not fit, it expired, its name is "
    "another one. The one before goes on, until it ends.",
    mends="issue another one",
    source="docs/tls.md",
    find=find,
)
