"""The clock was set back."""

from collections.abc import Iterator

from consul_kam.core.trap import FINDINGS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.journal_at is not None and facts.journal_at > facts.now + 5:
        yield Finding(
            f"the journal's newest entry is {facts.journal_at - facts.now:.0f} s in the future",
            "chronyc makestep once, then slew",
        )
    clock = facts.running.clock if facts.running is not None else None
    if clock is not None and abs(clock) > 5:
        yield Finding(f"Kamailio's clock is {clock:+.0f} s off ours", "one time source for both hosts")


TRAP = Trap(
    name="clock_back",
    severity=WARNING,
    doc="The clock was set back: Kamailio's windows count seconds of the wall clock and stay closed until it "
    "is there again, and tables written meanwhile look old.",
    mends="a clock that is slewed: chrony",
    source=f"{FINDINGS}, Windows",
    find=find,
)
