"""Where consul-template's configuration cannot be read, its traps cannot be looked for."""

from collections.abc import Iterator

from consul_kam.core.trap import NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.templating_error:
        yield Finding(f"{facts.templating_path}: {facts.templating_error}", "consul-kam doctor --consul-template FILE")


TRAP = Trap(
    name="template_unread",
    severity=NOTE,
    doc="Where consul-template's configuration cannot be read, its traps cannot be looked for.",
    mends="`--consul-template FILE`",
    source="docs/templates.md",
    find=find,
)
