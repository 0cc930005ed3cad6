"""Two engines that write one Kamailio undo each other's lists, and writes that overlap crash it."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for pid in facts.other_engines:
        yield Finding(
            f"process {pid} holds the lock of a live file of ours, with another state directory",
            f"kill {pid}, or give it other files",
        )


TRAP = Trap(
    name="several_engines",
    severity=ERROR,
    doc="Two engines that write one Kamailio undo each other's lists, and writes that overlap crash it.",
    mends="one engine a Kamailio; end the other one",
    source=f"{FACTS}, 9",
    find=find,
)
