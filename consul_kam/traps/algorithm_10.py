"""Algorithm 10 counts calls a destination, and each reload forgets the counts."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap
from consul_kam.core.trap_sets import selections


def find(facts: Facts) -> Iterator[Finding]:
    for setid in {setid for setid, algorithm in selections(facts) if algorithm == 10}:
        yield Finding(f"set {setid} is shared by call load, which a reload forgets", f'ds_select_dst("{setid}", "11")')


TRAP = Trap(
    name="algorithm_10",
    severity=WARNING,
    doc="Algorithm 10 counts calls a destination, and each reload forgets the counts: after each change in "
    "Consul all look idle.",
    mends="algorithm 11, or 4",
    source=f"{FACTS}, 2",
    find=find,
)
