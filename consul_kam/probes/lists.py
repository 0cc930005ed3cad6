"""Kamailio's memory holds the lists that it shall hold.

Fifteen looks, a second apart, are longer than a usual change takes: rtpengine refuses a reload for 10 s after the last
one, permissions and dispatcher for 5 s.
"""

from consul_kam.core.health import NOT_READY, READY, Outcome, Probe
from consul_kam.core.world import NO_KAMAILIO, ListFacts, World


def run(world: World, timeout: float) -> Outcome:
    found = world.lists()
    wrong = {each.name: _wrong(each) for each in found if each.equal is not True and not each.halted}
    facts = {"lists": float(len(found)), "wrong": float(len(wrong))}
    reason = "; ".join(f"{name}: {text}" for name, text in wrong.items())
    if not wrong:
        halted = [each.name for each in found if each.halted and each.equal is not True]
        return Outcome(True, f"not kept right, as you said: {', '.join(halted)}" if halted else "", facts)
    return Outcome(False, reason, facts, frozenset(wrong))


def _wrong(found: ListFacts) -> str:
    what = "memory is not what it shall be" if found.equal is False else "memory is not known yet"
    return f"{what} ({found.phase}{': ' if found.trouble else ''}{found.trouble})"


PROBE = Probe(
    name="lists",
    doc="Whether Kamailio's memory is what it shall be, for each list; asks nobody, it is what the last reading said. "
    "Bad looks are a row only for the same list, so that changes in turn do not add up. A list that is paused or "
    "observed is a remark.",
    run=run,
    applies=lambda node: node.kamailio != NO_KAMAILIO and bool(node.lists),
    applies_doc="there are a Kamailio and an enabled list",
    period=1.0,
    timeout=1.0,
    fall=15,
    level=READY,
    action=NOT_READY,
)
