"""kamcmd says 'reply too big' from a few hundred destinations on."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.rpc.startswith("kamcmd:") and facts.destinations > 300:
        cure = '[kamailio] rpc = "unix:/run/kamailio/kamailio_ctl"'
        yield Finding(f"{facts.destinations} destinations are read by kamcmd", cure)


TRAP = Trap(
    name="kamcmd_limit",
    severity=ERROR,
    doc='kamcmd says "reply too big" from a few hundred destinations on.',
    mends='`[kamailio] rpc = "unix:/run/kamailio/kamailio_ctl"`',
    source=f"{FACTS}, 1",
    find=find,
)
