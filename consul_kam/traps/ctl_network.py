"""ctl listens for binrpc on an address that is not loopback."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    for value in facts.script.all("ctl", "binrpc") if facts.script is not None else ():
        kind, _, rest = str(value).partition(":")
        local = rest.startswith(("127.", "localhost", "[::1]"))
        if kind in ("tcp", "udp") and not local:
            cure = modparam("ctl", "binrpc", "unix:/run/kamailio/kamailio_ctl")
            yield Finding(f"ctl listens at {value}", cure)


TRAP = Trap(
    name="ctl_network",
    severity=ERROR,
    doc="ctl listens for binrpc on an address that is not loopback: it knows no password, and whoever reaches "
    "it commands Kamailio.",
    mends='`modparam("ctl", "binrpc", "unix:/run/kamailio/kamailio_ctl")`',
    source=f"{FACTS}, 1",
    find=find,
)
