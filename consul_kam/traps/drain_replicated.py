"""A drain flag in a table with dmqreplicate reaches the other nodes."""

import re
from collections.abc import Iterator

from consul_kam.core.drain import HTABLE
from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap, modparam
from consul_kam.core.trap_sets import tables


def find(facts: Facts) -> Iterator[Finding]:
    for _, text in tables(facts):
        name = text.partition("=>")[0].strip()
        if name == HTABLE and re.search(r"\bdmqreplicate=[1-9]", text):
            yield Finding(f"{text}", modparam("htable", "htable", re.sub(r"dmqreplicate=\d+;?", "", text)))


TRAP = Trap(
    name="drain_replicated",
    severity=ERROR,
    doc="A drain flag in a table with dmqreplicate reaches the other nodes: they refuse calls too (10 of 60 failed).",
    mends="no `dmqreplicate` for that table",
    source=f"{FACTS}, 11",
    find=find,
)
