"""Kamailio's own status page answers 200."""

from consul_kam.core.health import NOT_READY, READY, Outcome, Probe
from consul_kam.core.world import KAMAILIO, World


def run(world: World, timeout: float) -> Outcome:
    url = world.node.status_url
    code = world.http_get(url, timeout)
    return Outcome(True) if code == 200 else Outcome(False, f"GET {url}: {code}, expected 200")


PROBE = Probe(
    name="http_status",
    doc="`GET` of `[kamailio] status_url`, which must answer 200; redirects are not followed.",
    run=run,
    applies=lambda node: bool(node.status_url),
    applies_doc="`[kamailio] status_url` is set",
    period=5.0,
    timeout=1.0,
    level=READY,
    action=NOT_READY,
    target=KAMAILIO,
)
