"""RTPEngine answers a ping of its NG protocol."""

from consul_kam.core.health import NOT_READY, READY, Outcome, Probe
from consul_kam.core.world import RTP, World


def run(world: World, timeout: float) -> Outcome:
    said = world.ng_ping(world.node.ng, timeout)
    return Outcome(True) if said == "pong" else Outcome(False, f"ping to {world.node.ng}: {said!r}, expected 'pong'")


PROBE = Probe(
    name="rtpengine_ng",
    doc="A `ping` of the NG protocol to `[rtpengine] ng`, which must say `pong`.",
    run=run,
    applies=lambda node: node.role == RTP,
    applies_doc="the role is `rtp`",
    period=2.0,
    timeout=1.0,
    level=READY,
    action=NOT_READY,
)
