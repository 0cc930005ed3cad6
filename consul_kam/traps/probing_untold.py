"""consul_kam's `[kamailio] probing` says something else than Kamailio does."""

from collections.abc import Iterator

from consul_kam.core.trap import WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    script = facts.script
    if script is None or not facts.of("dispatcher"):
        return
    pings = bool(
        script.number("dispatcher", "ds_ping_interval", 0)
        and script.number("dispatcher", "ds_probing_mode", 0) in (1, 3)
    )
    if pings != facts.probing:
        yield Finding(
            f"Kamailio {'probes' if pings else 'does not probe'}, and consul_kam takes it to do otherwise",
            f"[kamailio] probing = {str(pings).lower()}",
        )


TRAP = Trap(
    name="probing_untold",
    severity=WARNING,
    doc="consul_kam's `[kamailio] probing` says something else than Kamailio does: held records wait for a "
    "ping that nobody sends, or go although one would answer.",
    mends="`[kamailio] probing`, as ds_probing_mode 1 or 3 is",
    source="design.md, 3",
    find=find,
)
