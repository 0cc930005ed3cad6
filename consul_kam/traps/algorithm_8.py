"""Algorithm 8 calls the first by priority."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap
from consul_kam.core.trap_sets import shares


def find(facts: Facts) -> Iterator[Finding]:
    for setid, count, weights in shares(facts, 8, "rweight", "weight"):
        if count > 1 and len(set(weights)) > 1:
            yield Finding(
                f"set {setid} has different weights, and algorithm 8 calls the first one only",
                f'ds_select_dst("{setid}", "11")',
            )


TRAP = Trap(
    name="algorithm_8",
    severity=NOTE,
    doc="Algorithm 8 calls the first by priority: weights are nothing to it.",
    mends="algorithm 11 for shares by weight",
    source=f"{FACTS}, 2",
    find=find,
)
