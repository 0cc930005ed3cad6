"""Routers that keep themselves registered with three servers, and the list that a node routes with: never empty."""

from contextlib import ExitStack
from pathlib import Path

from tests.integration.registering import Page, Registered, passing
from tests.lab import Lab, LabError, wait_for
from tests.lab.cluster import Cluster
from tests.lab.world import BASE, World

ROUTERS = (1, 2, 3)


def led(cluster: Cluster) -> bool:
    try:
        return bool(cluster.leader())
    except (LabError, KeyError, TypeError):
        return False


def passes(cluster: Cluster) -> int:
    try:
        return len(passing(cluster.agent, "router"))
    except OSError:
        return 0


def test_whatever_befalls_consul_no_list_is_emptied(lab: Lab, tmp_path: Path) -> None:
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(tmp_path / "cluster"))
        page = Page()
        stack.callback(page.close)
        for number in ROUTERS:
            agent, lines = cluster.servers[number - 1], f"port = {BASE + number}\n"
            options = {"role": "router", "name": f"r{number:02d}"}
            router = Registered(tmp_path / f"r{number}", agent.address, page.url, lines, every=1.0, **options)
            stack.enter_context(router).set_ready(True)
        world = World(lab, cluster.agent)
        since = world.expect(*ROUTERS, timeout=40)
        cluster.leader().stop()
        wait_for("another leader", lambda: led(cluster), 40)
        cluster.revive()
        world.expect(*ROUTERS, timeout=60)
        cluster.agent.stop()
        cluster.agent.forget_services()
        cluster.revive()
        world.expect(*ROUTERS, timeout=60)
        for member in cluster.servers:
            member.pause(True)
        wait_for("nobody to lead", lambda: passes(cluster) == 0, 60)
        for member in cluster.servers:
            member.pause(False)
        cluster.settle()
        for member in cluster.all:
            member.stop()
            member.wipe()
        cluster.revive()
        wait_for("all to be back", lambda: passes(cluster) == len(ROUTERS), 60)
        world.ct.stop()  # it would wait for a higher index than the new Consul has
        world.ct.start()
        world.expect(*ROUTERS, timeout=60)
        assert world.rest(30)["verdict"] in ("PUBLISHED", "HELD")
        assert world.seen.never(lambda memory: sum(map(len, memory.values())) == 0, since)
