"""Kamailio does not start where the `version` file beside its tables lacks one or has another number."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in (each for each in facts.lists if each.table and each.versions):
        path = f"{each.file.rpartition('/')[0]}/version"
        rows = facts.versions.get(path)
        for table, number in each.versions.items():
            if rows is None or table not in rows:
                yield Finding(
                    f"{path} has no row {table}:{number}", f"echo {table}:{number} >> {path}", ("companion", each.name)
                )
            elif rows[table] != number:
                yield Finding(
                    f"{path} has {table}:{rows[table]}, Kamailio wants {number}",
                    f"sed -i s/^{table}:.*/{table}:{number}/ {path}",
                )


TRAP = Trap(
    name="table_version",
    severity=ERROR,
    doc="Kamailio does not start where the `version` file beside its tables lacks one or has another number; a "
    "running one does not look.",
    mends="the row in `version`; `consul-kam doctor --fix` adds what is missing",
    source=f"{FACTS}, 3",
    find=find,
)
