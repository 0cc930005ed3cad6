"""Consul's agent answers and knows a leader.

Told, no more: a node whose Consul is away routes with the lists that it has.
"""

from consul_kam.core.health import Outcome, Probe
from consul_kam.core.world import World


def run(world: World, timeout: float) -> Outcome:
    return (
        Outcome(True) if world.consul_leader(timeout) else Outcome(False, "Consul's agent answers, and has no leader")
    )


PROBE = Probe(
    name="consul",
    doc="Consul's agent answers and knows a leader (`/v1/status/leader`). A word only: a node whose Consul is away "
    "routes with the lists that it has.",
    run=run,
    applies=lambda node: bool(node.role),
    applies_doc="the node has a role",
    period=5.0,
    timeout=2.0,
    fall=2,
)
