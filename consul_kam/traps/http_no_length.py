"""Consul's agent sends GET without Content-Length."""

from collections.abc import Iterator

from consul_kam.core.trap import WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is not None and facts.loaded("xhttp") and not script.on("tcp_accept_no_cl", False):
        yield Finding("xhttp is loaded, and HTTP requests without Content-Length are dropped", "tcp_accept_no_cl=yes")


TRAP = Trap(
    name="http_no_length",
    severity=WARNING,
    doc="Consul's agent sends GET without Content-Length; without this Kamailio drops the request, and the "
    "check of /status is critical for ever.",
    mends="`tcp_accept_no_cl=yes`",
    source="examples/kamailio/common.cfg",
    find=find,
)
