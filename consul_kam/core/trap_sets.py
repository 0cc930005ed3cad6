"""What several traps ask of the facts: which set is shared how, which weights it has, which htable is whose."""

from collections.abc import Iterator, Mapping
from typing import Any

from consul_kam.core.trap import Facts, ListFacts


def selections(facts: Facts) -> set[tuple[str, int]]:
    """(set, algorithm) of each ds_select_dst and ds_select_domain; "" for a set that only a variable knows."""
    found = set()
    for words in facts.script.calls("ds_select_dst|ds_select_domain|ds_select") if facts.script is not None else ():
        if len(words) > 1 and words[1].isdecimal():
            found.add((words[0] if words[0].isdecimal() else "", int(words[1])))
    return found


def asked(facts: Facts, algorithm: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The configured sets that are shared by this algorithm and take their weights from Consul."""
    chosen = {setid for setid, number in selections(facts) if number == algorithm}
    for each in facts.of("dispatcher"):
        for entry in each.sets:
            setid = str(entry.get("setid"))
            if entry.get("service") and (setid in chosen or "" in chosen):
                yield setid, entry


def shares(facts: Facts, algorithm: int, *names: str) -> Iterator[tuple[str, int, list[int]]]:
    """(set, destinations, their weights) of each set in use that is shared by this algorithm."""
    chosen = {setid for setid, number in selections(facts) if number == algorithm}
    for each in facts.of("dispatcher"):
        for group in sorted({record.group for record in each.used} & chosen):
            lines = [record.line for record in each.used if record.group == group]
            attrs = [attr.partition("=") for line in lines for attr in line.rpartition(" ")[2].split(";")]
            yield group, len(lines), [int(value) for name, _, value in attrs if name in names and value.isdecimal()]


def tables(facts: Facts) -> Iterator[tuple[ListFacts | None, str]]:
    """(the dataset that it is, what the modparam says) of each htable."""
    for value in facts.script.all("htable", "htable") if facts.script is not None else ():
        own = [each for each in facts.of("htable") if f"dbtable={each.file.rpartition('/')[2]};" in f"{value};"]
        yield own[0] if own else None, str(value)
