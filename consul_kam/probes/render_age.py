"""consul-template still stages what Consul says.

It has been seen to stall for weeks without a word. So the same templates are rendered once into a scratch directory, a
third of `stale_after` apart: records that three looks in a row find missing from staging, or left there, are no longer
on their way. The third such look comes at the latest `stale_after` after the change in Consul.
"""

from consul_kam.core.fresh import DIFFERS, UNKNOWN
from consul_kam.core.health import RESTART, Outcome, Probe
from consul_kam.core.world import CONSUL_TEMPLATE, World

LOOKS = 3
"""In `stale_after` seconds."""


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
    period=lambda node: node.stale_after / LOOKS,
    period_doc="`stale_after` / 3",
    timeout=6.0,
    fall=LOOKS,
    action=RESTART,
    target=CONSUL_TEMPLATE,
)
