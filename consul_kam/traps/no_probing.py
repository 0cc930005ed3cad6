"""Without pings who dies without a word gets calls until Consul's check turns critical."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    if facts.script is None or not facts.of("dispatcher"):
        return
    if not facts.script.number("dispatcher", "ds_ping_interval", 0):
        yield Finding("Kamailio pings no destination", modparam("dispatcher", "ds_ping_interval", 5))
    elif facts.number("dispatcher", "ds_probing_mode", 0) == 0:
        yield Finding(
            "ds_probing_mode is 0: only who has flag 8 is pinged", modparam("dispatcher", "ds_probing_mode", 1)
        )


TRAP = Trap(
    name="no_probing",
    severity=WARNING,
    doc="Without pings who dies without a word gets calls until Consul's check turns critical, and held "
    "records are never found dead.",
    mends='`modparam("dispatcher", "ds_ping_interval", 5)`, `ds_probing_mode` 1, and `[kamailio] probing = true`',
    source=f"{FACTS}, 2",
    find=find,
)
