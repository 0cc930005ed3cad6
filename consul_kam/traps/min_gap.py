"""Two writes of dispatcher close upon each other crash Kamailio."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.min_gap is None or not facts.of("dispatcher"):
        return
    safe = 0.02 + 0.0001 * facts.destinations
    if facts.number("dispatcher", "reload_delta", 5) == 0 and facts.min_gap < safe:
        yield Finding(
            f"reload_delta is 0, and min_gap {facts.min_gap:g} s is too short for {facts.destinations} destinations",
            "# min_gap in [kamailio]: leave it out",
        )


TRAP = Trap(
    name="min_gap",
    severity=ERROR,
    doc="Two writes of dispatcher close upon each other crash Kamailio: the second frees the list that a ping "
    "walk still reads.",
    mends="leave `[kamailio] min_gap` out: 0.1 s + 0.5 ms a destination",
    source=f"{FACTS}, 2",
    find=find,
)
