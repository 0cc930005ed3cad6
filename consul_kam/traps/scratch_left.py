"""Scratch directories that a killed engine left behind hold what Consul said then."""

from collections.abc import Iterator

from consul_kam.core.trap import WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for path in facts.scratch:
        yield Finding(f"{path} is left over", f"rm -r {path}", ("remove", path))


TRAP = Trap(
    name="scratch_left",
    severity=WARNING,
    doc="Scratch directories that a killed engine left behind hold what Consul said then.",
    mends="`consul-kam doctor --fix` removes them",
    source="app/freshness.py",
    find=find,
)
