"""consul-template ignores SIGTERM."""

from collections.abc import Iterator

from consul_kam.core.trap import TOOLS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.templating is not None and facts.templating.kill_signal == "SIGTERM":
        return
    for path, text in facts.units.items():
        if "consul-template" in text and "KillSignal" not in text:
            yield Finding(f"{path} stops it by SIGTERM", "KillSignal=SIGINT in [Service]")


TRAP = Trap(
    name="template_sigterm",
    severity=WARNING,
    doc="consul-template ignores SIGTERM: systemd waits 90 s, then kills it.",
    mends='`KillSignal=SIGINT` in its unit, or `kill_signal = "SIGTERM"` in its configuration',
    source=f"{TOOLS}, A template that renders JSON Lines",
    find=find,
)
