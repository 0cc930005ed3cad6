"""The live file's directory has to be ours to write."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for folder in dict.fromkeys(each.file.rpartition("/")[0] for each in facts.lists):
        place = facts.place(folder)
        if place.kind == "absent":
            yield Finding(f"there is no directory {folder}", f"install -d -o {facts.user} {folder}")
        elif not place.writable:
            yield Finding(f"{folder} is not writable by {facts.user}", f"chown {facts.user} {folder}")
    for each in facts.lists:
        if facts.place(each.file).mount:
            yield Finding(
                f"{each.file} is a mount point of its own: it cannot be replaced",
                f"mount {each.file.rpartition('/')[0]} instead",
            )


TRAP = Trap(
    name="live_closed",
    severity=ERROR,
    doc="The live file's directory has to be ours to write: each change is a new file, renamed.",
    mends="`chown consul-kam DIRECTORY`",
    source="design.md, 7",
    find=find,
)
