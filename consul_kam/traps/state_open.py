"""The state directory holds the releases, the guards' memory and the control socket."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    place = facts.place(facts.state_dir)
    if place.kind == "directory" and place.mode & 0o022:
        yield Finding(
            f"{facts.state_dir} has mode {place.mode & 0o7777:o}",
            f"chmod go-w {facts.state_dir}",
            ("chmod", facts.state_dir),
        )
    if place.kind == "directory" and place.uid != facts.uid and facts.uid != 0:
        yield Finding(
            f"{facts.state_dir} belongs to user id {place.uid}",
            f"chown -R {facts.user} {facts.state_dir}, or run as that user",
        )


TRAP = Trap(
    name="state_open",
    severity=ERROR,
    doc="The state directory holds the releases, the guards' memory and the control socket: nobody else may "
    "write there.",
    mends="mode 0700; `consul-kam doctor --fix`",
    source="docs/operations.md",
    find=find,
)
