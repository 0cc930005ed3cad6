"""Another token, another certificate, another CA, under a node that runs: no gap in list or registration."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.identity import Files
from consul_kam.errors import ConsulError
from tests.integration.registering import Page, Registered
from tests.lab import Dispatcher, Lab, Node, Rpc, Sampler, program, wait_for
from tests.lab.policies import rules, text
from tests.lab.process import Watching
from tests.lab.secure import MANAGEMENT, SecureCluster, replace, shipped
from tests.lab.secure_ca import Authority

FIRST = 5071
POLICY = "rotated"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SecureCluster]:
    with SecureCluster(tmp_path / "secure") as started:
        started.servers[0].register("router", "r0", port=FIRST)
        yield started


class Listed(Watching):
    """A thread that asks a server, again and again, which instances of `sbc` pass; what it cannot ask says nothing.
    Nor does serfHealth: on a machine that is busy, gossip errs.
    """

    def __init__(self, cluster: SecureCluster, id: str) -> None:
        super().__init__()
        self._cluster, self._id = cluster, id
        self.looks, self.gaps = 0, list[object]()

    def _watch(self) -> None:
        while not self._ending.wait(0.01):
            try:
                connection = self._cluster.secure[0]._open()
                connection.request("GET", "/v1/health/service/sbc", headers={"X-Consul-Token": MANAGEMENT})
                found = json.loads(connection.getresponse().read())
                connection.close()
            except (OSError, ssl.SSLError, ValueError):
                continue
            self.looks += 1
            mine = [each for each in found if each["Service"]["ID"] == self._id]
            checks = [each for each in mine[0]["Checks"] if each["CheckID"] != "serfHealth"] if mine else []
            if not checks or any(check["Status"] != "passing" for check in checks):
                self.gaps.append((self.looks, found))


class World:
    """One node, with a token in a file of its own."""

    def __init__(self, lab: Lab, directory: Path, cluster: SecureCluster) -> None:
        self.cluster, self.file = cluster, directory / "token"
        self.given = text(rules(shipped("sbc", cluster.agent.name)))
        self.token = cluster.grant(POLICY, self.given)
        replace(self.file, self.token)
        more = (
            '[registration]\naddress = "127.0.0.1"\nport = 5060\ncheck_interval = 1\ncheck_timeout = 20\nevery = 0.3\n'
        )
        # So that nothing but what is rotated has consul-template started anew.
        more += f'[consul_template]\npath = "{program("consul-template")}"\nstale_after = 3600\n'
        lines = cluster.consul_lines(self.file)
        self.node: Node = lab.node(cluster.agent, consul_lines=lines, more=more)
        self.id = f"node-{self.node.directory.name}"
        self.routers = 1
        self.node.ready()
        self.holds()
        wait_for("it in the catalog", lambda: self.id in self.passing(), 30, self.node.log)

    def passing(self) -> list[str]:
        found = self.cluster.servers[0].ask("GET", "/v1/health/service/sbc?passing")
        assert isinstance(found, list)
        return [each["Service"]["ID"] for each in found]

    def one_more(self) -> None:
        """A change in the middle."""
        self.cluster.servers[0].register("router", f"r{self.routers}", port=FIRST + self.routers)
        self.routers += 1

    def holds(self) -> None:
        wanted = [f"sip:127.0.0.1:{FIRST + number}" for number in range(self.routers)]
        rpc = Rpc(self.node.kamailio.ctl)

        def right() -> bool:
            return sorted(each.uri for each in rpc.dispatcher().get(1, [])) == wanted

        wait_for(f"{wanted} in memory", right, 90, self.node.log)
        rpc.close()

    def well(self) -> None:
        def trouble() -> str:
            return str(self.node.ask("status")["node"]["registration"]["trouble"])

        wait_for("no trouble", lambda: trouble() == "", 60, self.node.log)

    def template(self, other_than: int) -> int:
        return self.node.runs("consul-template", other_than=other_than, timeout=60)


@pytest.fixture
def world(tmp_path: Path, cluster: SecureCluster) -> Iterator[World]:
    with Lab(tmp_path / "lab") as lab:
        yield World(lab, tmp_path, cluster)


def shrunk(memory: Dispatcher) -> bool:
    return f"sip:127.0.0.1:{FIRST}" not in [each.uri for each in memory.get(1, [])]


def test_tokens_one_after_the_other_each_old_one_deleted_right_after(world: World) -> None:
    with Sampler(world.node.kamailio.ctl, Rpc.dispatcher) as seen, Listed(world.cluster, world.id) as listed:
        for _ in range(3):
            template = world.node.pid_of("consul-template")
            old, world.token = world.token, world.cluster.token(POLICY)
            world.one_more()
            replace(world.file, world.token)
            world.cluster.revoke(old)
            world.one_more()
            world.template(other_than=template)
            world.holds()
            world.well()
        assert seen.never(shrunk)
        assert (listed.gaps, listed.looks > 10) == ([], True)
    assert world.node.stop() == 0
    wait_for("it to be gone", lambda: world.id not in world.passing(), 30)


def test_a_token_that_is_deleted_before_there_is_another(world: World) -> None:
    with Sampler(world.node.kamailio.ctl, Rpc.dispatcher) as seen, Listed(world.cluster, world.id) as listed:
        template = world.node.pid_of("consul-template")
        world.cluster.revoke(world.token)
        world.one_more()
        trouble = "403 ACL not found"
        wait_for(
            "trouble",
            lambda: trouble in world.node.ask("status")["node"]["registration"]["trouble"],
            60,
            world.node.log,
        )
        replace(world.file, world.cluster.token(POLICY))
        world.template(other_than=template)
        world.holds()
        world.well()
        assert seen.never(shrunk)
        assert (listed.gaps, listed.looks > 10) == ([], True)


def test_a_token_that_changes_while_nobody_watches(world: World) -> None:
    """The next supervisor adopts a consul-template that was started with the old one."""
    template = world.node.pid_of("consul-template")
    world.node.kill9()
    replace(world.file, world.cluster.token(POLICY))
    world.cluster.revoke(world.token)
    world.one_more()
    world.node.start()
    world.template(other_than=template)
    world.holds()
    world.well()


def test_a_token_file_that_is_empty_for_a_moment_starts_nothing_anew(world: World) -> None:
    template = world.node.pid_of("consul-template")
    replace(world.file, "")
    said = f"cannot read the token file {world.file}: it is empty"
    wait_for("trouble", lambda: said in world.node.ask("status")["node"]["registration"]["trouble"], 30, world.node.log)
    world.one_more()
    world.holds()
    replace(world.file, world.token)
    world.well()
    assert world.node.pid_of("consul-template") == template


def test_what_its_check_says_reaches_the_catalog_after_the_old_token_is_gone(
    cluster: SecureCluster, tmp_path: Path
) -> None:
    """The agent speaks for a service with the token that it was registered with, until that changes."""
    page, file = Page(), tmp_path / "token"
    token = cluster.grant(POLICY, text(rules(shipped("sbc", cluster.agent.name))))
    replace(file, token)
    more, lines = cluster.consul_lines(file), "port = 5060\ncheck_interval = 1\ncheck_timeout = 20\n"

    def passes() -> bool:
        found = cluster.servers[0].ask("GET", "/v1/health/service/sbc?passing")
        assert isinstance(found, list)
        return bool(found)

    with Registered(tmp_path, cluster.agent.address, page.url, lines, every=0.2, more=more) as node:
        node.set_ready(True)
        wait_for("it in the catalog", passes, 30)
        replace(file, cluster.token(POLICY))
        wait_for("it told", lambda: "Consul's token is another one" in [e.get("reason") for e in node.journal()], 30)
        cluster.revoke(token)
        page.well = False
        wait_for("it out of the catalog", lambda: not passes(), 30)
        page.well = True
        wait_for("it in the catalog again", passes, 30)
        node.leave()
        wait_for("it to be gone", lambda: not passes(), 30)
    page.close()


def test_another_ca_step_by_step(world: World, cluster: SecureCluster, tmp_path: Path) -> None:
    old, new = cluster.authority, Authority(tmp_path / "new", "new")
    everybody = [*[member.identity for member in cluster.secure], cluster.us]
    before = Files(*cluster.authority.issue(tmp_path / "before").names, str(cluster.us.ca))

    def reload() -> None:
        for member in cluster.secure:
            member.reload()

    def arrives() -> None:
        world.one_more()
        world.holds()
        world.well()

    with Sampler(world.node.kamailio.ctl, Rpc.dispatcher) as seen, Listed(cluster, world.id) as listed:
        template = world.node.pid_of("consul-template")
        for identity in everybody:  # 1: both are trusted everywhere
            identity.trust(old, new)
        reload()
        template = world.template(other_than=template)
        arrives()
        for member in cluster.secure:  # 2: Consul's certificates
            member.identity.show(new)
            member.reload()
        arrives()
        cluster.us.show(new)  # 3: ours
        template = world.template(other_than=template)
        arrives()
        for identity in everybody:  # 4: the old one is trusted no more
            identity.trust(new)
        reload()
        world.template(other_than=template)
        arrives()
        assert seen.never(shrunk)
        assert (listed.gaps, listed.looks > 10) == ([], True)
    with pytest.raises(ConsulError, match="it does not know the authority of our certificate"):
        Consul(cluster.agent.address, str(world.file), str(cluster.us.ca), before).get("/v1/status/leader")
