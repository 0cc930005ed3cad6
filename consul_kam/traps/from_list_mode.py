"""ds_is_from_list with mode 4 matches active destinations only."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for words in facts.script.calls("ds_is_from_list") if facts.script is not None else ():
        if len(words) > 1 and words[1].isdecimal() and int(words[1]) & 4:
            yield Finding(
                f"ds_is_from_list({', '.join(words)}): in-dialog requests of disabled ones are refused",
                f'ds_is_from_list("{words[0]}", "{int(words[1]) & 3 or 2}")',
            )


TRAP = Trap(
    name="from_list_mode",
    severity=WARNING,
    doc="ds_is_from_list with mode 4 matches active destinations only: the BYE of a router that drains gets "
    "what strangers get.",
    mends="mode 2 (address and port) or 3",
    source=f"{FACTS}, 11",
    find=find,
)
