"""consul-template gives up after 12 tries and ends."""

from collections.abc import Iterator

from consul_kam.core.trap import TOOLS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    found = facts.templating
    if found is None or facts.spawned_templating:
        return
    if not found.retry or found.attempts is None or found.attempts > 0:
        tries = 0 if not found.retry else 12 if found.attempts is None else found.attempts
        yield Finding(f"{facts.templating_path}: it ends after {tries} tries", "consul { retry { attempts = 0 } }")


TRAP = Trap(
    name="template_retries",
    severity=WARNING,
    doc="consul-template gives up after 12 tries and ends: a Consul that is away for some minutes leaves "
    "nobody to render.",
    mends="`retry { attempts = 0 }` in its `consul { }`",
    source=f"{TOOLS}, field notes 7",
    find=find,
)
