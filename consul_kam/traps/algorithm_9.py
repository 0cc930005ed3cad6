"""Algorithm 9 takes weight= as percent."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap
from consul_kam.core.trap_sets import asked, shares


def find(facts: Facts) -> Iterator[Finding]:
    for setid, entry in asked(facts, 9):
        if entry.get("weight_as") != "weight":
            yield Finding(
                f"set {setid} is shared by algorithm 9, and weight_as is {entry.get('weight_as')}",
                f'weight_as = "weight" in [[datasets.dispatcher.sets]] of setid {setid}',
            )
    for setid, _, weights in shares(facts, 9, "weight"):
        if weights and sum(weights) != 100:
            yield Finding(
                f"the weights of set {setid} add up to {sum(weights)}, not to 100",
                "weights are percent; leave them to consul_kam: weight_as",
            )


TRAP = Trap(
    name="algorithm_9",
    severity=WARNING,
    doc="Algorithm 9 takes weight= as percent: rweight= is nothing to it, and 1, 1, 1 gave 196, 2, 2 of 200 calls.",
    mends='`weight_as = "weight"` in the set (scaled to a sum of 100), or algorithm 11',
    source=f"{FACTS}, 2",
    find=find,
)
