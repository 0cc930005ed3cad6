"""Without a failure route that calls ds_next_dst() each call to a router that just died fails."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is not None and "ds_select_" in script.text and "ds_next_" not in script.text:
        yield Finding(
            "no failure route calls ds_next_dst()",
            't_on_failure("NEXT"), and the failure_route[NEXT] of examples/kamailio/common.cfg',
        )


TRAP = Trap(
    name="no_failover",
    severity=NOTE,
    doc="Without a failure route that calls ds_next_dst() each call to a router that just died fails; and one "
    "to a router that drains.",
    mends='`t_on_failure("NEXT")` and a failure route as in examples/kamailio/common.cfg',
    source=f"{FACTS}, 11",
    find=find,
)
