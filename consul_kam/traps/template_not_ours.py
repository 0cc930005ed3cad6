"""A template of your own in Kamailio's format is not proof against injection."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap

MARK = "consul_kam"


def find(facts: Facts) -> Iterator[Finding]:
    ours = {path for each in facts.lists for path in (*each.staging, each.file)}
    for stanza in facts.templating.stanzas if facts.templating is not None else ():
        text = stanza.contents or facts.template_texts.get(stanza.source, "")
        if stanza.destination in ours and text and MARK not in text and "toJSON" not in text:
            yield Finding(
                f"{stanza.source or 'its contents'} renders {stanza.destination} without toJSON",
                "consul-kam templates export /etc/consul_kam/templates",
            )


TRAP = Trap(
    name="template_not_ours",
    severity=WARNING,
    doc="A template of your own in Kamailio's format is not proof against injection: a newline in an Address "
    "adds a route.",
    mends="`consul-kam templates export DIR`",
    source=f"{FACTS}, 2",
    find=find,
)
