"""A Kamailio without our htable cannot be told to refuse new calls."""

from collections.abc import Iterator

from consul_kam.core.drain import HTABLE, KEY
from consul_kam.core.trap import WARNING, Facts, Finding, Trap, modparam

INCLUDE = 'include_file "drain.cfg", and route(DRAIN) for each new call'


def find(facts: Facts) -> Iterator[Finding]:
    if not facts.drains:
        return
    tables = facts.htables
    if tables is not None and HTABLE not in tables:
        cure = modparam("htable", "htable", f"{HTABLE}=>size=2;autoexpire=10;")
        yield Finding(f"Kamailio has no htable {HTABLE}: whoever drains cannot refuse new calls", f"{cure}: {INCLUDE}")
    elif facts.script is not None and not any(word in facts.script.text for word in (f"{HTABLE}=>{KEY}", "cfgengine")):
        yield Finding(f"the script does not look at $sht({HTABLE}=>{KEY}): new calls are not refused", INCLUDE)


TRAP = Trap(
    name="drain_table",
    severity=WARNING,
    doc="A node with a role drains at its end, or at an operator's word; without the htable of "
    "examples/kamailio/drain.cfg it cannot refuse new calls, and those that come until it stops are cut.",
    mends='`include_file "drain.cfg"` among the modparams, `route(DRAIN)` for each new call',
    source="docs/drain.md",
    find=find,
)
