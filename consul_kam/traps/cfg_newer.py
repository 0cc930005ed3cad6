"""The configuration on the disk is younger than the running Kamailio."""

from collections.abc import Iterator

from consul_kam.core.trap import NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    started = facts.running.started if facts.running is not None else None
    if started is not None and facts.cfg_mtime is not None and facts.cfg_mtime > started + 1:
        yield Finding(
            f"{facts.cfg_path} was changed after Kamailio started", "consul-kam restart, or systemctl restart kamailio"
        )


TRAP = Trap(
    name="cfg_newer",
    severity=NOTE,
    doc="The configuration on the disk is younger than the running Kamailio: what is said of one need not hold "
    "for the other.",
    mends="a restart of Kamailio, one node after the other",
    source="app/children.py",
    find=find,
)
