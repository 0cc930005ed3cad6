"""htable.reload drops every key that is not in the file, those that the script sets at run time included."""

import re
from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap, modparam
from consul_kam.core.trap_sets import tables


def find(facts: Facts) -> Iterator[Finding]:
    for each, text in tables(facts):
        name = text.partition("=>")[0].strip()
        if (
            each is not None
            and facts.script is not None
            and re.search(rf"\$sht\({re.escape(name)}=>[^)]*(?:\([^)]*\)[^)]*)*\)\s*=[^=~]", facts.script.text)
        ):
            yield Finding(
                f"the script sets keys of {name}, which is {each.name}",
                modparam("htable", "htable", f"{name}_own=>size=8;"),
            )


TRAP = Trap(
    name="htable_shared",
    severity=ERROR,
    doc="htable.reload drops every key that is not in the file, those that the script sets at run time included.",
    mends="a table of its own for what the script sets",
    source=f"{FACTS}, 7",
    find=find,
)
