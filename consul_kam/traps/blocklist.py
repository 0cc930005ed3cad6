"""With use_dst_blocklist and tm's blst_503 a node that drains is put on a blocklist."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    live = facts.running.values if facts.running is not None else {}
    used = bool(live.get("core.use_dst_blocklist", script is not None and script.on("use_dst_blocklist", False)))
    if used and facts.number("tm", "blst_503", 0, "blst_503"):
        yield Finding("use_dst_blocklist and blst_503 are on", modparam("tm", "blst_503", 0))


TRAP = Trap(
    name="blocklist",
    severity=WARNING,
    doc="With use_dst_blocklist and tm's blst_503 a node that drains is put on a blocklist: 5 of 100 calls "
    "failed, in-dialog requests with 477.",
    mends='`use_dst_blocklist=no`, or `modparam("tm", "blst_503", 0)`',
    source=f"{FACTS}, 11",
    find=find,
)
