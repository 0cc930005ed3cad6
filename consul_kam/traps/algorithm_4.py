"""Round robin starts anew with each write of the list."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap
from consul_kam.core.trap_sets import selections


def find(facts: Facts) -> Iterator[Finding]:
    for setid in sorted(setid for setid, algorithm in selections(facts) if algorithm == 4):
        which = f"set {setid}" if setid else "a set that only a variable knows"
        yield Finding(
            f"{which} is shared round robin, and each change in Consul starts it anew",
            f'ds_select_dst("{setid or "SET"}", "11")',
        )


TRAP = Trap(
    name="algorithm_4",
    severity=NOTE,
    doc="Algorithm 4 is round robin, and its index restarts with each write: where lists change often, the first "
    "destinations get more than their share.",
    mends="algorithm 11, whose shares come by chance, where that matters",
    source=f"{FACTS}, 2",
    find=find,
)
