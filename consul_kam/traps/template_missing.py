"""No template of consul-template writes the staging file that a list is taken from."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.templating is None or facts.spawned_templating:
        return
    there = {stanza.destination for stanza in facts.templating.stanzas}
    for each in facts.lists:
        for path in each.staging:
            if path not in there:
                yield Finding(
                    f"{facts.templating_path} renders nothing to {path}",
                    f'template {{ source = ".../{path.rpartition("/")[2]}.ctmpl"  destination = "{path}" }}',
                )


TRAP = Trap(
    name="template_missing",
    severity=ERROR,
    doc="No template of consul-template writes the staging file that a list is taken from: nothing will ever change.",
    mends="a template stanza for it; `consul-kam templates export DIR`",
    source="docs/templates.md",
    find=find,
)
