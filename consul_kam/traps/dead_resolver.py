"""With a resolver that does not answer Kamailio needs 10 to 30 s to start."""

from collections.abc import Iterator

from consul_kam.core.grammar import is_literal
from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.resolver is None or facts.resolver < 2.0:
        return
    if (
        facts.script is not None
        and not facts.script.on("rev_dns", True)
        and not any(r.host is not None and not is_literal(r.host.name) for each in facts.lists for r in each.used)
    ):
        return
    yield Finding(
        f"a reverse look-up did not end within 2 s; start_timeout is {facts.start_timeout:g} s",
        "rev_dns=no and dns_retr_time=1 in kamailio.cfg, or a resolver in /etc/resolv.conf that answers",
    )


TRAP = Trap(
    name="dead_resolver",
    severity=WARNING,
    doc="With a resolver that does not answer Kamailio needs 10 to 30 s to start (reverse look-ups), and each "
    "name in a list holds up a worker.",
    mends="`rev_dns=no`, `dns_retr_time=1`, `dns_retr_no=1`; a resolver that answers",
    source=f"{FACTS}, 1",
    find=find,
)
