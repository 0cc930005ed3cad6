"""Kamailio's SIP workers answer.

Any final response is an answer, a 404 or a 503 as well as a 200: what the routing script says of OPTIONS is its own
business, and that it says something proves that a worker took the request and ran the script (RFC 3261, section 11).
"""

from consul_kam.core.health import GRACE, READY, RESTART, Outcome, Probe, rpc_answers
from consul_kam.core.world import KAMAILIO, World

STUCK = "RPC answers, so its SIP workers are stuck (or its script drops OPTIONS)"
SILENT = "RPC does not answer either"


def run(world: World, timeout: float) -> Outcome:
    if not world.node.sip:
        return Outcome(False, "nothing to ask: [kamailio] sip names no endpoint")
    replies = world.options(world.node.sip, timeout)
    failed = {endpoint: reply.error for endpoint, reply in replies.items() if reply.error}
    facts = {"endpoints": float(len(replies)), "unanswered": float(len(failed))}
    if not failed:
        return Outcome(True, facts=facts)
    said = "; ".join(f"OPTIONS to {endpoint}: {error}" for endpoint, error in failed.items())
    also = STUCK if rpc_answers(world, 0.8 * GRACE) else SILENT
    return Outcome(False, f"{said}; {also}", facts, frozenset(failed))


PROBE = Probe(
    name="sip_options",
    doc="A SIP OPTIONS to each endpoint of `[kamailio] sip`, over UDP with RFC 3261's retransmissions or over TCP. "
    "Any final response is an answer. Its reason says whether RPC answers meanwhile.",
    run=run,
    applies=lambda node: bool(node.sip),
    applies_doc="`[kamailio] sip` names an endpoint",
    period=2.0,
    timeout=1.0,
    level=READY,
    action=RESTART,
    target=KAMAILIO,
)
