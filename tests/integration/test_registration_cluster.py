"""Three servers and an agent: what befalls them, and the registration that is back without anybody's help."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.registering import Balancer, Page, Registered, known, passing, statuses
from tests.lab import LabError, wait_for
from tests.lab.cluster import Cluster, Member

HERE = [("host1", "127.0.0.1", 5060)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as started:
        yield started


@pytest.fixture
def page() -> Iterator[Page]:
    opened = Page()
    yield opened
    opened.close()


@pytest.fixture
def node(cluster: Cluster, page: Page, tmp_path: Path) -> Iterator[Registered]:
    """Registered, and every agent back at the end."""
    with Registered(tmp_path, cluster.agent.address, page.url, every=1.0) as opened:
        opened.set_ready(True)
        listed(cluster.servers[0])
        yield opened
        cluster.revive()
        opened.leave()
        wait_for("it to be gone", lambda: passing(cluster.servers[0]) == [], 20)


def rows(member: Member) -> list[tuple[str, str, int]]:
    try:
        return passing(member)
    except OSError:
        return []


def listed(member: Member, timeout: float = 40.0) -> None:
    wait_for(f"{HERE} at {member.name}", lambda: rows(member) == HERE, timeout, member.log)


def led(cluster: Cluster) -> bool:
    try:
        return bool(cluster.leader())
    except (LabError, KeyError, TypeError):
        return False


def test_the_leader_is_killed(cluster: Cluster, node: Registered) -> None:
    leader = cluster.leader()
    leader.stop()
    other = next(server for server in cluster.servers if server is not leader)
    wait_for("another leader", lambda: led(cluster), 40, other.log)
    listed(other)
    cluster.agent.deregister("host1")
    node.was_registered(2)
    listed(other)


def test_the_agent_comes_back_without_its_services(cluster: Cluster, node: Registered) -> None:
    cluster.agent.stop()
    cluster.agent.forget_services()
    cluster.agent.start()
    node.was_registered(2)
    listed(cluster.servers[0])
    wait_for("its check to pass", lambda: statuses(cluster.agent) == {"": "passing"}, 10)


@pytest.mark.slow
def test_the_agent_comes_back_with_its_services_and_need_not_ask_first(cluster: Cluster, node: Registered) -> None:
    """Consul would call it critical for up to 10 s."""
    cluster.agent.stop()
    cluster.agent.start()
    node.was_registered(2)
    assert [e["reason"] for e in node.journal() if "not asked" in e.get("reason", "")] != []
    listed(cluster.servers[0])


@pytest.mark.slow
def test_the_agent_comes_back_as_another_machine_of_the_same_name(cluster: Cluster, node: Registered) -> None:
    cluster.agent.stop()
    cluster.agent.wipe()
    wait_for("the others to miss it", lambda: rows(cluster.servers[0]) == [], 60)
    cluster.agent.start()
    node.was_registered(2)
    listed(cluster.servers[0])


@pytest.mark.slow
def test_the_servers_are_built_anew_from_nothing(cluster: Cluster, node: Registered) -> None:
    """The agent believes that they still know; by itself it would tell them a minute later."""
    for server in cluster.servers:
        server.stop()
        server.wipe()
    for server in cluster.servers:
        server.spawn()
    cluster.settle()
    listed(cluster.servers[0])


def test_everything_is_built_anew_from_nothing(cluster: Cluster, node: Registered) -> None:
    for member in cluster.all:
        member.stop()
        member.wipe()
    for member in cluster.all:
        member.spawn()
    node.was_registered(2, timeout=40)
    cluster.settle()
    listed(cluster.servers[0])


@pytest.mark.slow
def test_the_agent_is_frozen_and_thawed(cluster: Cluster, node: Registered) -> None:
    cluster.agent.pause(True)
    try:
        node.wait("trouble", lambda status: "no answer within 1 s" in status["trouble"])
        wait_for("the others to miss it", lambda: rows(cluster.servers[0]) == [], 60)
    finally:
        cluster.agent.pause(False)
    listed(cluster.servers[0])
    node.wait("no trouble", lambda status: status["trouble"] == "")


@pytest.mark.slow
def test_all_servers_are_frozen_and_thawed(cluster: Cluster, node: Registered) -> None:
    """The agent answers, and what it is told waits there."""
    for server in cluster.servers:
        server.pause(True)
    try:
        node.set_ready(False)
        node.set_ready(True)
        node.wait("a look", lambda status: status["state"] == "registered" and not status["trouble"])
    finally:
        for server in cluster.servers:
            server.pause(False)
    cluster.settle()
    listed(cluster.servers[0])


def test_a_load_balancer_makes_no_ghost(cluster: Cluster, page: Page, tmp_path: Path) -> None:
    balancer = Balancer(cluster.agent)
    with Registered(tmp_path, balancer.address, page.url) as node:
        node.set_ready(True)
        listed(cluster.servers[0])
        balancer.switch(cluster.servers[1])
        status = node.wait("the other agent", lambda status: status["state"] == "elsewhere")
        assert "agent server1 answers, but it is registered with host1, which is alive" in status["trouble"]
        cluster.agent.deregister("host1")
        assert known(cluster.servers[1]) is None
        node.leave()
        assert known(cluster.servers[1]) is None
    with Registered(tmp_path, balancer.address, page.url) as node:  # the record outlives it
        node.set_ready(True)
        node.wait("the other agent", lambda status: status["state"] == "elsewhere")
        balancer.switch(cluster.agent)
        listed(cluster.servers[0])
        node.wait("no trouble", lambda status: (status["state"], status["trouble"]) == ("registered", ""))
        node.leave()
    balancer.close()


@pytest.mark.slow
def test_an_agent_that_is_gone_for_good_gives_way_to_another(cluster: Cluster, page: Page, tmp_path: Path) -> None:
    balancer = Balancer(cluster.agent)
    with Registered(tmp_path, balancer.address, page.url) as node:
        node.set_ready(True)
        listed(cluster.servers[0])
        cluster.agent.stop()
        balancer.switch(cluster.servers[1])
        wait_for("the other", lambda: rows(cluster.servers[0]) == [("server1", "127.0.0.1", 5060)], 60)
        catalog = cluster.servers[0].ask("GET", "/v1/catalog/service/sbc")
        assert isinstance(catalog, list)
        assert [row["Node"] for row in catalog] == ["server1"]
        node.leave()
    balancer.close()
    cluster.agent.wipe()
    cluster.revive()


def test_two_nodes_with_one_id_on_two_agents_are_named(cluster: Cluster, page: Page, tmp_path: Path) -> None:
    with (
        Registered(tmp_path / "a", cluster.agent.address, page.url) as one,
        Registered(tmp_path / "b", cluster.servers[0].address, page.url, place="127.0.0.2") as other,
    ):
        for node, theirs, place in ((one, "server0", "127.0.0.2"), (other, "host1", "127.0.0.1")):
            node.set_ready(True)
            what = f"cannot be the only host1: node {theirs} has one at {place}:5060; give one of them another ID"
            other.set_ready(True)
            node.wait(what, lambda status, what=what: status["trouble"] == what)  # type: ignore[misc]
            assert node.status()["state"] == "registered"
        other.leave()
        one.wait("no trouble", lambda status: status["trouble"] == "")
        one.leave()


@pytest.mark.slow
def test_an_agent_of_another_node_id_under_its_name_leaves_no_ghost(
    cluster: Cluster, page: Page, tmp_path: Path
) -> None:
    """Started again at once: Consul hears nothing of it ("Node name is reserved"), and still has its former word."""
    with Registered(tmp_path, cluster.agent.address, page.url) as node:
        node.set_ready(True)
        listed(cluster.servers[0])
        cluster.agent.stop()
        cluster.agent.wipe()
        cluster.agent.start()
        node.was_registered(2)
        node.leave()
        wait_for("it to be gone", lambda: passing(cluster.servers[0]) == [], 20)
