"""tm turns a 503 that it passes on into a 500."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is None or not facts.of("dispatcher") or not facts.loaded("tm") or "t_relay" not in script.text:
        return
    if script.number("tm", "remap_503_500", 1):
        yield Finding("a 503 of the last destination reaches the caller as 500", modparam("tm", "remap_503_500", 0))


TRAP = Trap(
    name="tm_remap_503_500",
    severity=NOTE,
    doc="tm turns a 503 that it passes on into a 500, unless it is told otherwise: a caller that fails over on 503 "
    "alone does not, when all that this node may choose are draining.",
    mends='callers that fail over on 408, 500 and 503, or `modparam("tm", "remap_503_500", 0)`',
    source=f"{FACTS}, 11",
    find=find,
)
