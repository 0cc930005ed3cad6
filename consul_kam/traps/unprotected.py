"""Where staging and live file are one path consul-template writes past every check."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for each in facts.lists:
        if each.unprotected:
            yield Finding(
                f"{each.name}: consul-template writes {each.file} itself",
                f'destination = "{facts.state_dir}/staging/{each.name}" there, and no `staging` in consul-kam.toml',
            )
    live = {each.file: each.name for each in facts.lists if not each.unprotected}
    for stanza in facts.templating.stanzas if facts.templating is not None else ():
        if stanza.destination in live:
            name = live[stanza.destination]
            yield Finding(
                f"{name}: {facts.templating_path} renders {stanza.destination} itself",
                f'destination = "{facts.state_dir}/staging/{name}"',
            )


TRAP = Trap(
    name="unprotected",
    severity=ERROR,
    doc="Where staging and live file are one path consul-template writes past every check: what a service says "
    "can become a line.",
    mends="the destination `state_dir/staging/DATASET` in its configuration",
    source="design.md, 3",
    find=find,
)
