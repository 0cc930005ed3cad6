"""An instance without a check is passing for ever."""

from collections.abc import Iterator

from consul_kam.core.trap import WARNING, Facts, Finding, Trap

OF_NODES = "serfHealth"


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.instances:
        if all(check.id == OF_NODES for check in each.checks):
            yield Finding(
                f"{each.service}/{each.id} on {each.node} has no check",
                "[registration] on its node, or a Check in its registration",
            )


TRAP = Trap(
    name="no_check",
    severity=WARNING,
    doc="An instance without a check is passing for ever: a crashed one stays in the list until its node fails.",
    mends="register it with a check; `consul-kam run` with a role does",
    source="field-notes.md, 1.3",
    find=find,
)
