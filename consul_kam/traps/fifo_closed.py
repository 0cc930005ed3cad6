"""jsonrpcs makes its FIFO before it changes its user."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FINDINGS, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    path = facts.rpc.removeprefix("fifo:")
    place = facts.place(path)
    if facts.rpc.startswith("fifo:") and place.kind != "absent" and not place.writable:
        yield Finding(
            f"{path} (mode {place.mode:o}, user id {place.uid}) is not writable by {facts.user}",
            modparam("jsonrpcs", "fifo_user", facts.user),
        )


TRAP = Trap(
    name="fifo_closed",
    severity=ERROR,
    doc="jsonrpcs makes its FIFO before it changes its user: with `-u kamailio` it belongs to root, and nobody "
    "else may write to it.",
    mends='`modparam("jsonrpcs", "fifo_user", "kamailio")`, `fifo_mode` 0660',
    source=f"{FINDINGS}, Ways to Kamailio: jsonrpcs",
    find=find,
)
