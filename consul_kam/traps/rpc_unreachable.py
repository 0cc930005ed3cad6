"""Kamailio's RPC does not answer."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    if facts.rpc_error:
        cure = 'loadmodule "ctl.so" and ' + modparam("ctl", "binrpc", facts.rpc or "unix:/run/kamailio/kamailio_ctl")
        if not facts.rpc.startswith(("unix:", "tcp:", "udp:")):
            cure = "[kamailio] rpc: where its RPC listens; is Kamailio running?"
        yield Finding(f"{facts.rpc}: {facts.rpc_error}", cure)


TRAP = Trap(
    name="rpc_unreachable",
    severity=ERROR,
    doc="Kamailio's RPC does not answer: nothing can be read, proven or repaired.",
    mends='`loadmodule "ctl.so"` and its socket, or `[kamailio] rpc`',
    source=f"{FACTS}, 1",
    find=find,
)
