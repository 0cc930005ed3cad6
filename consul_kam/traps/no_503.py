"""A failure route without 503 does not pass over a node that drains."""

import re
from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is None or not re.search(r"\bfailure_route\s*\[", script.text) or "ds_next_" not in script.text:
        return
    codes = [words[0] for words in script.calls("t_check_status") if words]
    if codes and not any(_takes_503(code) for code in codes):
        yield Finding(f"the failure route goes on for {', '.join(codes)}, not for 503", 't_check_status("408|500|503")')


def _takes_503(pattern: str) -> bool:
    try:
        return re.search(f"^(?:{pattern})$", "503") is not None
    except re.error:
        return True


TRAP = Trap(
    name="no_503",
    severity=WARNING,
    doc="A failure route without 503 does not pass over a node that drains: 13 of 100 calls failed that "
    "408|500|503 saved.",
    mends='`t_check_status("408|500|503")`',
    source=f"{FACTS}, 11",
    find=find,
)
