"""A peer that picked us at its INVITE may still fail over to us up to its fr_timer later."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    fr_timer = facts.number("tm", "fr_timer", 30_000, "fr_timer")
    if fr_timer is not None and fr_timer / 1000 > facts.quiet_for:
        yield Finding(
            f"fr_timer is {fr_timer / 1000:g} s, quiet_for {facts.quiet_for:g} s",
            f"[drain] quiet_for = {fr_timer / 1000 + 5:g}",
        )


TRAP = Trap(
    name="slow_peers",
    severity=WARNING,
    doc="A peer that picked us at its INVITE may still fail over to us up to its fr_timer later: quiet must "
    "last longer than that.",
    mends='`modparam("tm", "fr_timer", 2000)`, or a longer `[drain] quiet_for`',
    source=f"{FACTS}, 11",
    find=find,
)
