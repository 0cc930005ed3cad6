"""Everybody on this host may read Consul's token."""

from collections.abc import Iterator

from consul_kam.core.trap import WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    place = facts.place(facts.token_file) if facts.token_file else None
    if place is not None and place.kind == "file" and place.mode & 0o006:
        yield Finding(f"{facts.token_file} has mode {place.mode & 0o777:o}", f"chmod o= {facts.token_file}")
    elif place is not None and (place.kind != "file" or not place.readable):
        yield Finding(f"{facts.token_file} cannot be read", f"chgrp and chmod g+r {facts.token_file}")


TRAP = Trap(
    name="token_open",
    severity=WARNING,
    doc="Everybody on this host may read Consul's token.",
    mends="`chmod o= FILE`",
    source="docs/operations.md",
    find=find,
)
