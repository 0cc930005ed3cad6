"""Kamailio takes its TLS domains from another file than the one that is kept for it."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    if not facts.tls_cfg or facts.script is None:
        return
    found = [str(value) for value in facts.script.all("tls", "config")]
    if facts.tls_cfg not in found:
        named = f"names {', '.join(found)}" if found else "names none"
        yield Finding(
            f"[kamailio.tls] keeps {facts.tls_cfg}, and Kamailio {named}", modparam("tls", "config", facts.tls_cfg)
        )


TRAP = Trap(
    name="tls_cfg_other",
    severity=ERROR,
    doc="Kamailio reads its TLS domains from another file than the one that `[kamailio.tls]` keeps: no new certificate "
    "ever reaches it.",
    mends='`modparam("tls", "config", "DIRECTORY/tls.cfg")`',
    source="docs/tls.md",
    find=find,
)
