"""Where Kamailio's configuration cannot be read, doctor sees only what the running one tells."""

from collections.abc import Iterator

from consul_kam.core.trap import NOTE, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    if facts.cfg_error:
        yield Finding(f"{facts.cfg_path}: {facts.cfg_error}", "consul-kam doctor --cfg FILE, as a user who may read it")
    for path in facts.cfg_missing:
        yield Finding(f"{path} is included and cannot be read", f"chmod o+r {path}")


TRAP = Trap(
    name="cfg_unread",
    severity=NOTE,
    doc="Where Kamailio's configuration cannot be read, doctor sees only what the running one tells: most "
    "traps cannot be looked for.",
    mends="`--cfg FILE`, or a right to read it",
    source="core/kamailio_cfg.py",
    find=find,
)
