"""Who may write the directory or the live file may route calls."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for path in dict.fromkeys(path for each in facts.lists for path in (each.file.rpartition("/")[0], each.file)):
        place = facts.place(path)
        if place.kind in ("file", "directory") and place.mode & 0o002 and not place.mode & 0o1000:
            yield Finding(f"{path} has mode {place.mode & 0o7777:o}: everybody may write it", f"chmod o-w {path}")


TRAP = Trap(
    name="live_open",
    severity=ERROR,
    doc="Who may write the directory or the live file may route calls.",
    mends="`chmod o-w`",
    source="docs/operations.md",
    find=find,
)
