"""db_text reads a table again only where its mtime is later than before."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap

AHEAD = 3600.0
"""Seconds. Our own files run ahead by one second a change while many come within one."""


def find(facts: Facts) -> Iterator[Finding]:
    for each in (each for each in facts.lists if each.table):
        place = facts.place(each.file)
        if place.kind != "file":
            continue
        if place.mtime > facts.now + AHEAD:
            yield Finding(
                f"{each.file} is from the future, by {place.mtime - facts.now:.0f} s",
                "let consul_kam write it again: its files are always one second later than the last; check the clock",
            )
        elif each.released is not None and place.mtime < each.released - 2:
            yield Finding(
                f"{each.file} is older than the release that was written to it: put back from a backup?",
                f"touch {each.file}",
            )


TRAP = Trap(
    name="table_ahead",
    severity=ERROR,
    doc="db_text reads a table again only where its mtime is later than before: one from the future keeps it "
    "deaf until then, one that went back for ever.",
    mends="`touch FILE`, then a restart of Kamailio where it had read the later one",
    source=f"{FACTS}, 3",
    find=find,
)
