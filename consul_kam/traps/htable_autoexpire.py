"""A table of discovered data with autoexpire loses its keys by itself, and htable.dump does not tell when."""

import re
from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap
from consul_kam.core.trap_sets import tables


def find(facts: Facts) -> Iterator[Finding]:
    for each, text in tables(facts):
        if each is not None and re.search(r"\bautoexpire=[1-9]", text):
            yield Finding(f"{each.name}: {text}", "the same without autoexpire")


TRAP = Trap(
    name="htable_autoexpire",
    severity=ERROR,
    doc="A table of discovered data with autoexpire loses its keys by itself, and htable.dump does not tell when.",
    mends="no `autoexpire` for a table that consul_kam keeps",
    source=f"{FACTS}, 7",
    find=find,
)
