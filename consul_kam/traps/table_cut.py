"""db_text drops a last row without a newline, without a word."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in (each for each in facts.lists if each.table):
        place = facts.place(each.file)
        if place.kind == "file" and place.size and not place.ends_line:
            yield Finding(
                f"{each.file} does not end with a newline: Kamailio drops its last row", f"echo >> {each.file}"
            )


TRAP = Trap(
    name="table_cut",
    severity=ERROR,
    doc="db_text drops a last row without a newline, without a word.",
    mends="one newline at the end",
    source=f"{FACTS}, 3",
    find=find,
)
