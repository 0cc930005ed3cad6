"""consul-template still stages what Consul says.

It has been seen to stall for weeks without a word. So the same templates are rendered once into a scratch directory,
again and again: records that three looks in a row find missing from staging, or left there, are no longer on their way.
The third such look is over `stale_after` after the change in Consul, if that is 7 s or more.
"""

from consul_kam.core.fresh import DIFFERS, UNKNOWN
from consul_kam.core.health import RESTART, Outcome, Probe
from consul_kam.core.world import CONSUL_TEMPLATE, World

LOOKS, TAKES = 3, 1.0
"""Looks within `stale_after` seconds, and the seconds that the last one may take of these."""
APART = 2.0
"""Seconds between two looks at least: app/freshness.py gives the same answer again for one."""


def run(world: World, timeout: float) -> Outcome:
    found = world.rendered(timeout)
    facts = {"lists": float(len(found)), "differ": float(sum(each.state == DIFFERS for each in found.values()))}
    about: set[str] = set()
    said: dict[str, str] = {}
    for name, fresh in found.items():
        if fresh.state == DIFFERS:
            records = [
                *(f"missing {record}" for record in fresh.missing),
                *(f"left {record}" for record in fresh.extra),
            ]
            about |= {f"{name}: {text}" for text in (*records, fresh.difference)}
            said[name] = f"{name}: {fresh.reason}" + (f" ({', '.join(records)})" if records else "")
    if about:
        return Outcome(False, "; ".join(said.values()), facts, frozenset(about))
    unknown = [f"{name}: {fresh.reason}" for name, fresh in found.items() if fresh.state == UNKNOWN]
    return Outcome(None if unknown else True, "; ".join(unknown), facts)


PROBE = Probe(
    name="render_age",
    doc="Renders the templates once into a scratch directory and compares with staging. Records that are missing "
    "there, or left there, at three looks in a row mean that consul-template has stalled. Where Consul does not "
    "answer a look counts neither way.",
    run=run,
    applies=lambda node: node.keeps(CONSUL_TEMPLATE) and bool(node.lists),
    applies_doc="`run` starts consul-template (`spawn`)",
    period=lambda node: max(APART, (node.stale_after - TAKES) / LOOKS),
    period_doc="(`stale_after` - 1) / 3, at least 2",
    timeout=6.0,
    fall=LOOKS,
    action=RESTART,
    target=CONSUL_TEMPLATE,
)
