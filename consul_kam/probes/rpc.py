"""Kamailio's RPC interface answers."""

from consul_kam.core.health import ALIVE, RESTART, Outcome, Probe
from consul_kam.core.world import KAMAILIO, NO_KAMAILIO, World


def run(world: World, timeout: float) -> Outcome:
    world.rpc("core.uptime", deadline=timeout)
    return Outcome(True)


PROBE = Probe(
    name="rpc",
    doc="`core.uptime` over a connection of its own: whether Kamailio's RPC answers.",
    run=run,
    applies=lambda node: node.kamailio != NO_KAMAILIO,
    applies_doc="there is a Kamailio",
    period=1.0,
    timeout=2.0,
    level=ALIVE,
    action=RESTART,
    target=KAMAILIO,
)
