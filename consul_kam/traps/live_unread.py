"""Kamailio's user cannot read the live file."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    socket = facts.place(facts.rpc.removeprefix("unix:"))
    if socket.kind != "socket" or socket.uid == 0:
        return
    for each in facts.lists:
        place = facts.place(each.file)
        own = place.uid == socket.uid and place.mode & 0o400
        if place.kind == "file" and not (own or (place.gid == socket.gid and place.mode & 0o040) or place.mode & 0o004):
            yield Finding(
                f"{each.file} (mode {place.mode & 0o777:o}) cannot be read by Kamailio (user id {socket.uid})",
                f"chmod o+r {each.file}",
            )


TRAP = Trap(
    name="live_unread",
    severity=ERROR,
    doc="Kamailio's user cannot read the live file: each reload fails, or loads nothing at the next start.",
    mends="`chmod o+r`, or Kamailio's group",
    source="docs/operations.md",
    find=find,
)
