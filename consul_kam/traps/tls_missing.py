"""A destination with transport=tls or sips."""

from collections.abc import Iterator

from consul_kam.core.trap import ERROR, FACTS, Facts, Finding, Trap


def find(facts: Facts) -> Iterator[Finding]:
    wanted = [str(r.key[-1]) for each in facts.of("dispatcher") for r in each.used if _tls(str(r.key[-1]))]
    if wanted and facts.modules is not None and not facts.loaded("tls"):
        yield Finding(f"{len(wanted)} destinations want TLS: {', '.join(wanted[:3])}", 'loadmodule "tls.so"')
    elif wanted and facts.script is not None and not facts.script.on("enable_tls", False):
        yield Finding(f"{len(wanted)} destinations want TLS, and enable_tls is off", "enable_tls=yes")


def _tls(uri: str) -> bool:
    return uri.lower().startswith("sips:") or ";transport=tls" in uri.lower() or ";transport=wss" in uri.lower()


TRAP = Trap(
    name="tls_missing",
    severity=ERROR,
    doc="A destination with transport=tls or sips: is loaded without the tls module, and every call to it fails.",
    mends='`loadmodule "tls.so"` and `enable_tls=yes`',
    source=f"{FACTS}, 2",
    find=find,
)
