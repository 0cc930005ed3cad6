"""Over HTTP a reply that does not fit the worker's private memory is never sent, and one of some 4 MB breaks off."""

from collections.abc import Iterator

from consul_kam.core.trap import FINDINGS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.rpc.startswith("http") and facts.destinations >= 5000:
        cure = '[kamailio] rpc = "unix:/run/kamailio/kamailio_ctl", or kamailio -M 64 and tcp_conn_wq_max=67108864'
        yield Finding(f"{facts.destinations} destinations are read over HTTP", cure)


TRAP = Trap(
    name="http_rpc_big",
    severity=WARNING,
    doc="Over HTTP a reply that does not fit the worker's private memory is never sent, and one of some 4 MB "
    "breaks off.",
    mends='`[kamailio] rpc = "unix:/run/kamailio/kamailio_ctl"`',
    source=f"{FINDINGS}, Ways to Kamailio: jsonrpcs",
    find=find,
)
