"""A list whose module is not loaded is written and never read."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FINDINGS, Facts, Finding, Trap

NEEDS = {
    "dispatcher": ("dispatcher",), "domain": ("domain", "db_text"), "rtpengine": ("rtpengine", "db_text"),
    "address": ("permissions",), "htable": ("htable", "db_text"),
}  # fmt: skip
WAYS = {
    "unix": "ctl",
    "tcp": "ctl",
    "udp": "ctl",
    "kamcmd": "ctl",
    "fifo": "jsonrpcs",
    "http": "jsonrpcs",
    "https": "jsonrpcs",
}


def find(facts: Facts) -> Iterator[Finding]:
    modules = facts.modules
    if modules is None:
        return
    way = WAYS.get(facts.rpc.partition(":")[0])
    wanted = [(module, f"list {each.name}") for each in facts.lists for module in NEEDS.get(each.kind, ())]
    for module, whom in dict([(way, f"rpc {facts.rpc}"), *wanted] if way else wanted).items():
        if module not in modules:
            yield Finding(f"{whom} needs module {module}, which is not loaded", f'loadmodule "{module}.so"')


TRAP = Trap(
    name="module_missing",
    severity=ERROR,
    doc="A list whose module is not loaded is written and never read: every RPC of it answers `command not found`.",
    mends='`loadmodule "MODULE.so"`',
    source=f"{FINDINGS}, Faults",
    find=find,
)
