"""domain does not load without the table domain_attrs beside its own."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.lists:
        for path in each.beside:
            if facts.place(path).kind == "absent" and facts.place(path.rpartition("/")[0]).kind == "directory":
                yield Finding(f"{path} is missing", "consul-kam doctor --fix", ("companion", each.name))


TRAP = Trap(
    name="table_beside",
    severity=ERROR,
    doc="domain does not load without the table domain_attrs beside its own.",
    mends="`consul-kam doctor --fix` makes it",
    source=f"{FACTS}, 3",
    find=find,
)
