"""The programs that `run` started are there, and no zombies.

Supervision sees an end at once and starts them again by itself; this makes the node not ready meanwhile, and gives the
figures. Where consul-template alone is away, the lists in memory still are right: that is a remark.
"""

from consul_kam.core.health import NOT_READY, READY, Outcome, Probe
from consul_kam.core.world import CONSUL_TEMPLATE, KAMAILIO, World


def run(world: World, timeout: float) -> Outcome:
    facts: dict[str, float] = {}
    wrong = {program: _wrong(world, program, facts) for program in (KAMAILIO, CONSUL_TEMPLATE)}
    reason = "; ".join(text for text in wrong.values() if text)
    return Outcome(not wrong[KAMAILIO], reason, facts)


def _wrong(world: World, program: str, facts: dict[str, float]) -> str:
    """What is wrong with it, or ""; its figures go to `facts`."""
    if not world.node.keeps(program):
        return ""
    found = world.process(program)
    up = found is not None and found.alive and not found.zombie
    prefix = program.replace("-", "_")
    facts[f"{prefix}_up"] = float(up)
    if found is None or not up:
        zombie = found is not None and found.zombie
        return f"{program} is a zombie" if zombie else f"{program} does not run"
    facts[f"{prefix}_rss_bytes"], facts[f"{prefix}_cpu_seconds"] = found.rss_bytes, found.cpu_s
    return ""


PROBE = Probe(
    name="process",
    doc="Whether the programs that `run` started are there and no zombies; their memory and CPU. Only Kamailio's end "
    "is a bad look; that of consul-template is a remark, since the lists in memory stay right.",
    run=run,
    applies=lambda node: node.keeps(KAMAILIO) or node.keeps(CONSUL_TEMPLATE),
    applies_doc="`run` starts one of them (`spawn`)",
    period=1.0,
    timeout=1.0,
    fall=1,
    level=READY,
    action=NOT_READY,
    target=KAMAILIO,
)
