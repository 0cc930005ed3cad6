"""Without the same -P each time a second Kamailio starts beside the first."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    running = facts.running
    if running is not None and running.argv and not running.option("-P"):
        yield Finding("Kamailio runs without a pid file", "kamailio -P /run/kamailio/kamailio.pid")


TRAP = Trap(
    name="pid_file",
    severity=NOTE,
    doc="Without the same -P each time a second Kamailio starts beside the first: by UDP it takes packets, "
    "with TCP it ends and removes the ctl socket.",
    mends="`kamailio -P /run/kamailio/kamailio.pid`",
    source=f"{FACTS}, 11",
    find=find,
)
