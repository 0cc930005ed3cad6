"""A template renders nothing until each of its sources has answered once."""

import re
from collections.abc import Iterator

from consul_kam.core.trap import TOOLS, WARNING, Facts, Finding, Trap

_AT = re.compile(r'"[^"@\s]+@[\w.-]+(?:\|any)?"')


def find(facts: Facts) -> Iterator[Finding]:
    for path, text in facts.template_texts.items():
        far = _AT.findall(text)
        if far and MARK not in text:
            yield Finding(
                f"{path} asks for {', '.join(sorted(set(far))[:3])} beside others",
                "one template and one staging file a data centre",
            )


MARK = "consul_kam"


TRAP = Trap(
    name="template_far",
    severity=WARNING,
    doc="A template renders nothing until each of its sources has answered once: a data centre that is away at "
    "boot holds up the local list.",
    mends="a template and a staging file for each data centre: `consul-kam templates export DIR`",
    source=f"{TOOLS}, A template that renders JSON Lines",
    find=find,
)
