"""A token that lost its rights gets 200 and a shorter list."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, TOOLS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for source in facts.filtered:
        yield Finding(
            f"ACLs hide some of {source} from our token",
            'service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }',
        )


TRAP = Trap(
    name="acl_filtered",
    severity=ERROR,
    doc="A token that lost its rights gets 200 and a shorter list: to consul-template that looks like routers "
    "that are gone.",
    mends="`service_prefix` and `node_prefix` read for the token",
    source=f"{TOOLS}, Consul",
    find=find,
)
