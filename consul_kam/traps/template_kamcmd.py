"""kamcmd exits 0 on every fault."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for stanza in facts.templating.stanzas if facts.templating is not None else ():
        text = " ".join(stanza.command)
        if any(word in text for word in ("kamcmd", "kamctl", "kamcli")) or ".reload" in text:
            yield Finding(
                f"{facts.templating_path}: {stanza.destination} runs {text}", 'exec { command = ["kam-apply"] }'
            )


TRAP = Trap(
    name="template_kamcmd",
    severity=ERROR,
    doc="kamcmd exits 0 on every fault: a refused reload counts as done, and is lost; and its write is no "
    "one's turn, which can crash Kamailio.",
    mends='`command = ["kam-apply"]`, or none under `consul-kam run`',
    source=f"{FACTS}, 1 and 9",
    find=find,
)
