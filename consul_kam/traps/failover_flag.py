"""ds_next_dst() finds nothing unless dispatcher's flags have 2."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is not None and "ds_next_" in script.text and not script.number("dispatcher", "flags", 0) & 2:
        yield Finding(
            "the script calls ds_next_dst(), and dispatcher's flags lack 2", modparam("dispatcher", "flags", 2)
        )


TRAP = Trap(
    name="failover_flag",
    severity=ERROR,
    doc="ds_next_dst() finds nothing unless dispatcher's flags have 2: the failure route ends with the first "
    "destination.",
    mends='`modparam("dispatcher", "flags", 2)`',
    source="examples/kamailio/common.cfg",
    find=find,
)
