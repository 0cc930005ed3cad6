"""db_text caches its tables."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    if (
        facts.number("db_text", "db_mode", 0) == 0
        and any(each.table for each in facts.lists)
        and facts.loaded("db_text")
    ):
        names = ", ".join(each.name for each in facts.lists if each.table)
        yield Finding(f"db_mode is 0, and db_text holds {names}", modparam("db_text", "db_mode", 1))


TRAP = Trap(
    name="db_mode",
    severity=ERROR,
    doc="db_text caches its tables: a reload never sees a changed file (120 of 120 stale, each answered Ok).",
    mends='`modparam("db_text", "db_mode", 1)`',
    source=f"{FACTS}, 3",
    find=find,
)
