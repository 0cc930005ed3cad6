"""ctl's socket may be written by everybody."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, WARNING, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    path = facts.rpc.removeprefix("unix:")
    place = facts.place(path)
    if facts.rpc.startswith("unix:") and place.kind == "socket" and place.mode & 0o002:
        yield Finding(f"{path} has mode {place.mode:o}", 'modparam("ctl", "mode", 0660)')


TRAP = Trap(
    name="ctl_open",
    severity=WARNING,
    doc="ctl's socket may be written by everybody: every local user commands Kamailio.",
    mends='`modparam("ctl", "mode", 0660)`',
    source=f"{FACTS}, 1",
    find=find,
)
