"""How long after Consul's return a node's agent knows it and its catalog lists it as passing; three servers, an agent.

Return: the moment from which the agent answers and its servers have a leader.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.registering import Page, Registered, known, passing
from tests.lab import LabError, wait_for
from tests.lab.cluster import Cluster

AWAY = 60.0
HERE = [("host1", "127.0.0.1", 5060)]


def run() -> dict[str, Any]:
    """Seconds by what happened; 0 where it never was away."""
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place:
        cluster, page = Cluster(Path(place)), Page()
        try:
            with Registered(Path(place), cluster.agent.address, page.url, every=2.0) as node:
                node.set_ready(True)
                time.sleep(AWAY)
                cluster.start()
                figures = {"away 60 s at boot": _back(cluster)}
                for what, calamity in CALAMITIES.items():
                    calamity(cluster)
                    figures[what] = _back(cluster)
                    time.sleep(5.0)
                return {"registration": figures}
        finally:
            cluster.stop()
            page.close()


def _back(cluster: Cluster) -> float:
    wait_for("Consul's return", lambda: _returned(cluster), 120)
    began = time.monotonic()
    wait_for("the registration", lambda: _listed(cluster), 120)
    return round(time.monotonic() - began, 2)


def _returned(cluster: Cluster) -> bool:
    try:
        return cluster.agent.request("GET", "/v1/agent/services")[0] == 200 and bool(cluster.leader())
    except (OSError, LabError):
        return False


def _listed(cluster: Cluster) -> bool:
    try:
        return known(cluster.agent) is not None and passing(cluster.leader()) == HERE
    except (OSError, LabError):
        return False


def _leader_killed(cluster: Cluster) -> None:
    leader = cluster.leader()
    leader.stop()
    wait_for("another", lambda: _returned(cluster), 60)
    leader.spawn()


def _restarted_empty(cluster: Cluster) -> None:
    cluster.agent.stop()
    cluster.agent.forget_services()
    cluster.agent.spawn()


def _restarted(cluster: Cluster) -> None:
    cluster.agent.stop()
    cluster.agent.spawn()


def _servers_wiped(cluster: Cluster) -> None:
    for server in cluster.servers:
        server.stop()
        server.wipe()
    for server in cluster.servers:
        server.spawn()


def _all_wiped(cluster: Cluster) -> None:
    for member in cluster.all:
        member.stop()
        member.wipe()
    for member in cluster.all:
        member.spawn()


def _frozen(agent: bool) -> Callable[[Cluster], None]:
    def calamity(cluster: Cluster) -> None:
        members = [cluster.agent] if agent else cluster.servers
        for member in members:
            member.pause(True)
        time.sleep(AWAY)
        for member in members:
            member.pause(False)

    return calamity


CALAMITIES: dict[str, Callable[[Cluster], None]] = {
    "leader killed": _leader_killed,
    "agent restarted empty": _restarted_empty,
    "agent restarted with its data": _restarted,
    "servers wiped": _servers_wiped,
    "everything wiped": _all_wiped,
    "agent frozen 60 s": _frozen(True),
    "servers frozen 60 s": _frozen(False),
}
