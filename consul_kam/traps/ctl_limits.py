"""A read-back of about 3,000 destinations and more does not fit ctl's default limits, and nothing can be proven."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, MANY, Facts, Finding, Trap, modparam

BODY, STRUCT = 8192, 4096
"""kB that carry 10,000 destinations (tool-facts.md)."""


def find(facts: Facts) -> Iterator[Finding]:
    script, count = facts.script, facts.destinations
    if script is None or count < MANY or not facts.rpc.startswith(("unix:", "tcp:", "kamcmd:")):
        return
    for name, enough in (("binrpc_max_body_size", BODY), ("binrpc_struct_max_body_size", STRUCT)):
        given = script.number("ctl", name, 4)
        if given < enough * min(1.0, count / 10_000):
            yield Finding(f"{count} destinations, and ctl's {name} is {given} kB", modparam("ctl", name, enough))


TRAP = Trap(
    name="ctl_limits",
    severity=ERROR,
    doc="A read-back of about 3,000 destinations and more does not fit ctl's default limits, and nothing can "
    "be proven.",
    mends='`modparam("ctl", "binrpc_max_body_size", 8192)` and `modparam("ctl", "binrpc_struct_max_body_size", 4096)`',
    source=f"{FACTS}, 1",
    find=find,
)
