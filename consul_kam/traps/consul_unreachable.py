"""Consul's agent does not answer."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, TOOLS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for error in facts.consul_errors:
        yield Finding(error, "[consul] address, token_file and ca_file; consul members")


TRAP = Trap(
    name="consul_unreachable",
    severity=ERROR,
    doc="Consul's agent does not answer: nothing new will be rendered. Lists in memory stay as they are.",
    mends="`[consul] address`, or start the agent",
    source=f"{TOOLS}, Consul",
    find=find,
)
