"""A reload by the script, beside ours, is no one's turn."""

import re
from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap

_RELOADS = re.compile(
    r"\b(?:ds_reload|allow_address_reload|dp_reload)\s*\(|jsonrpc_exec\s*\([^)]*\b(?:reload|addressReload|reg_reload)\b"
)


def find(facts: Facts) -> Iterator[Finding]:
    for found in _RELOADS.finditer(facts.script.text if facts.script is not None else ""):
        yield Finding(f"the script reloads: {found[0]}", "take it out")


TRAP = Trap(
    name="script_reloads",
    severity=ERROR,
    doc="A reload by the script, beside ours, is no one's turn: writes that overlap corrupt Kamailio's memory.",
    mends="take it out: consul_kam reloads when there is something new",
    source=f"{FACTS}, 9",
    find=find,
)
