"""A line that Kamailio drops, cuts or takes for another."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap

SHOWN = 3


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.lists:
        for problem in each.problems[:SHOWN]:
            yield Finding(problem, f"consul-kam check {each.name} {each.file}")


TRAP = Trap(
    name="live_bad",
    severity=ERROR,
    doc="A line that Kamailio drops, cuts or takes for another: it answers Ok. 10.0.0.999 opens the door to "
    "10.0.0.231; a setid of 99999999999 is set 1215752191.",
    mends="let consul_kam write the file; `consul-kam check FILE` names each line",
    source=f"{FACTS}, 2, 3 and 6",
    find=find,
)
