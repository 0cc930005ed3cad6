"""dispatcher and permissions refuse a second write for reload_delta, 5 s by default."""

from collections.abc import Iterator

from consul_kam.core.trap import FACTS, NOTE, Facts, Finding, Trap, modparam


def find(facts: Facts) -> Iterator[Finding]:
    for kind, module in (("dispatcher", "dispatcher"), ("address", "permissions")):
        delta = facts.number(module, "reload_delta", 5)
        if delta is not None and delta > 5 and facts.of(kind):
            yield Finding(f"{module} takes one write in {delta} s", modparam(module, "reload_delta", 1))


TRAP = Trap(
    name="reload_delta",
    severity=NOTE,
    doc="dispatcher and permissions refuse a second write for reload_delta, 5 s by default: changes wait, "
    "merged, until it opens.",
    mends='`modparam("dispatcher", "reload_delta", 1)`; not 0: see the trap min_gap',
    source=f"{FACTS}, 2",
    find=find,
)
