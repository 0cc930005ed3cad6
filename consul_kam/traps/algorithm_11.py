"""Algorithm 11 takes rweight=."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap
from consul_kam.core.trap_sets import asked


def find(facts: Facts) -> Iterator[Finding]:
    for setid, entry in asked(facts, 11):
        if entry.get("weight_as") != "rweight":
            yield Finding(
                f"set {setid} is shared by algorithm 11, and weight_as is {entry.get('weight_as')}",
                f'weight_as = "rweight" in [[datasets.dispatcher.sets]] of setid {setid}',
            )


TRAP = Trap(
    name="algorithm_11",
    severity=WARNING,
    doc="Algorithm 11 takes rweight=: weight= is nothing to it, and all get the same share.",
    mends='`weight_as = "rweight"` in the set, or algorithm 9',
    source=f"{FACTS}, 2",
    find=find,
)
