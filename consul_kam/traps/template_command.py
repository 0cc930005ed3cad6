"""A command that fails or takes over 30 s ends consul-template (status 14), and is not run again for the same file."""

from collections.abc import Iterator

from consul_kam.core.trap import WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for stanza in facts.templating.stanzas if facts.templating is not None else ():
        text = " ".join(stanza.command)
        ours = text.rpartition("/")[2].startswith("kam")  # kam-apply and its like; of kamcmd another trap tells
        if text and not ours and not text.endswith(("|| true", "|| :")):
            yield Finding(
                f"{facts.templating_path}: {stanza.destination} runs {text}",
                'exec { command = ["kam-apply"] }, or the command with "|| true"',
            )


TRAP = Trap(
    name="template_command",
    severity=WARNING,
    doc="A command that fails or takes over 30 s ends consul-template (status 14), and is not run again for "
    "the same file.",
    mends='`command = ["kam-apply"]`, or none under `consul-kam run`',
    source="field-notes.md, 4",
    find=find,
)
