"""ctl's socket is there and we may not write to it."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    path = facts.rpc.removeprefix("unix:")
    place = facts.place(path)
    if not facts.rpc.startswith("unix:") or place.kind != "socket" or facts.uid == 0 or facts.uid == place.uid:
        return
    if place.gid in facts.gids and not place.mode & 0o020:
        yield Finding(f"{path} has mode {place.mode:o}: group members may not ask", 'modparam("ctl", "mode", 0660)')
    elif place.gid not in facts.gids and not place.mode & 0o002:
        cure = f'usermod -aG {place.gid} {facts.user}, modparam("ctl", "mode", 0660), and start the engine anew'
        yield Finding(f"{path} is of group {place.gid}, and {facts.user} is not in it", cure)


TRAP = Trap(
    name="ctl_closed",
    severity=ERROR,
    doc="ctl's socket is there and we may not write to it: it belongs to Kamailio's user, mode 0600 by default.",
    mends='`modparam("ctl", "mode", 0660)`, and our user in Kamailio\'s group',
    source=f"{FACTS}, 1",
    find=find,
)
