"""A live file that somebody else wrote has a key twice."""

from collections import Counter
from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap

WHAT = {"dispatcher": "Kamailio loads each of them, for a double share of calls", "htable": "the last one wins"}
"""Other lists lose nothing by it."""


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.lists:
        if each.kind not in WHAT or each.staged:
            continue
        twice = [key for key, count in Counter(record.key for record in each.records).items() if count > 1]
        if twice:
            first = " ".join(map(str, twice[0]))
            rest = f" and {len(twice) - 1} others are" if twice[1:] else " is"
            yield Finding(
                f"{first}{rest} in {each.file} more than once: {WHAT[each.kind]}",
                f"# {each.file}: keep one line of each",
            )


TRAP = Trap(
    name="live_twice",
    severity=WARNING,
    doc="A destination that a file lists twice is loaded twice, answered Ok: it gets a double share of calls. Of a "
    "key of an htable the last one wins.",
    mends="let consul_kam write the file: it keeps one of each",
    source=f"{FACTS}, 2 and 7",
    find=find,
)
