"""Workers outlive a main process that was killed, and go on answering SIP and RPC."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.running is not None and facts.running.main_alive is False:
        yield Finding(
            "RPC answers, and Kamailio's main process is gone",
            "systemctl stop kamailio, and SIGKILL to what is left of its group; then start it",
        )


TRAP = Trap(
    name="orphans",
    severity=ERROR,
    doc="Workers outlive a main process that was killed, and go on answering SIP and RPC; a second Kamailio "
    "beside them takes packets, or ends and removes the ctl socket.",
    mends="end them, then start Kamailio: `kill -9 -PGID`",
    source=f"{FACTS}, 11",
    find=find,
)
