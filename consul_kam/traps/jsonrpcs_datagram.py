"""jsonrpcs never sends a reply over 128 kB by its datagram socket."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is None or not facts.loaded("jsonrpcs") or facts.destinations < 500:
        return
    transport = script.number("jsonrpcs", "transport", 0)
    if transport in (0, 4) or transport & 4 or script.all("jsonrpcs", "dgram_socket"):
        where = script.word("jsonrpcs", "dgram_socket", "its datagram socket")
        yield Finding(
            f"{facts.destinations} destinations, and who asks at {where} gets no answer",
            modparam("jsonrpcs", "transport", 2),
        )


TRAP = Trap(
    name="jsonrpcs_datagram",
    severity=NOTE,
    doc="jsonrpcs never sends a reply over 128 kB by its datagram socket: who asks there just times out, from "
    "some hundred destinations on.",
    mends='ask ctl or the FIFO; `modparam("jsonrpcs", "transport", 2)` for the FIFO alone',
    source=f"{FACTS}, 1",
    find=find,
)
