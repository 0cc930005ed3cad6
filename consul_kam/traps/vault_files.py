"""A file by which we log in to Vault is not there, or not for our eyes alone."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Place, Trap


def find(facts: Facts) -> Iterator[Finding]:
    for path in facts.vault_files:
        place = facts.place(path)
        if place.kind != "file":
            yield Finding(f"{path} is not there, or is no file", f"put it there, mode 0600, owned by {facts.user}")
        elif not place.readable:
            yield Finding(f"{path} cannot be read", f"chown {facts.user} {path}")
        elif _seen(place):
            yield Finding(f"{path} has mode {place.mode & 0o777:o}", f"chmod 600 {path}")


def _seen(place: Place) -> bool:
    """As adapters/secret.py refuses it: systemd's credentials are of group root, and readable by it."""
    return bool(place.mode & 0o037) or bool(place.mode & 0o040 and place.gid)


TRAP = Trap(
    name="vault_files",
    severity=ERROR,
    doc="A file by which the node logs in to Vault is missing, or others may read it: then nobody logs in.",
    mends="mode 0600, owned by the user that consul_kam runs as",
    source="docs/vault.md",
    find=find,
)
