"""A whole node on the least policy, and what becomes of it when its token loses rights while it runs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from consul_kam.app.env_layers import PACE
from tests.lab import Dispatcher, Lab, Rpc, Sampler, wait_for
from tests.lab.environment import environment
from tests.lab.fleet import TO_ROUTERS, Member, cli, member
from tests.lab.policies import rules, text
from tests.lab.rpc import Unreachable
from tests.lab.secure import SecureCluster, replace, shipped

HOST, KV = "node-sbc1", "/v1/kv/consul_kam/gateways/"
ENV = """\
[env]
layers = ["c4/global", "c4/role/{role}", "c4/node/{node}"]
every = 0.3
[env.vars.GREETING]
required = true
"""
QUICK = '[drain]\non_stop = "leave"\nquiet_for = 0.5\nannounce_max = 6\ndeadline = 30\n'
DOMAIN = '[[datasets.domain.sets]]\nservice = "sbc"\n'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureCluster]:
    """A router, and another SBC, on one of the servers."""
    with SecureCluster(tmp_path_factory.mktemp("secure"), HOST) as started:
        started.servers[0].register("router", "r1", port=5071)
        started.servers[0].register("sbc", "sbc-0", port=5070)
        started.servers[0].kv_put("c4/global/GREETING", "hello")
        yield started


class World:
    """One SBC as it ships, its token, and the policy of that."""

    def __init__(self, stack: ExitStack, directory: Path, cluster: SecureCluster, **more: str) -> None:
        self.cluster, self._file = cluster, directory / "token"
        self.policy = f"sbc-{directory.name}"
        self.whole = rules(shipped("sbc", HOST))
        self.token = cluster.grant(self.policy, text(self.whole))
        replace(self._file, self.token)
        lines = cluster.consul_lines(self._file)
        stale = "stale_after = 7\n"
        made = member(
            directory / "sbc1",
            cluster.agent,
            "sbc",
            TO_ROUTERS,
            drain=QUICK + ENV,
            domain=DOMAIN,
            consul_lines=lines,
            **more,
        )
        made.config.write_text(made.config.read_text().replace("[consul_template]\n", f"[consul_template]\n{stale}"))
        self.node: Member = stack.enter_context(made)

    def lose(self, rule: str, path: str) -> None:
        """From now on the token has all rights but this one, with which it reads `path`."""
        self.cluster.change(self.policy, text([each for each in self.whole if each.what != rule]))
        self.cluster.heeded(self.token, path, True)

    def renders_anew(self) -> None:
        """Its blocking queries do not hear of rights that are lost."""
        template = self.node.pid_of("consul-template")
        os.kill(template, signal.SIGKILL)
        self.node.runs("consul-template", other_than=template)

    def regain(self, path: str) -> None:
        self.cluster.change(self.policy, text(self.whole))
        self.cluster.heeded(self.token, path, False)

    def rejected(self, what: str) -> dict[str, Any]:
        """The verdict on what consul-template made of the answer."""

        def look() -> bool:
            found[:] = [each for each in self.node.journal() if each.get("verdict") == "REJECTED"]
            return any(f"ACLs hide some of {what} from our token" in each["reason"] for each in found)

        found: list[dict[str, Any]] = []
        wait_for(f"a rejection for {what}", look, 60, self.node.log)
        return found[-1]

    def routers(self) -> list[str]:
        try:
            return [each.uri for each in self.node.kamailio.rpc.dispatcher().get(1, [])]
        except (OSError, Unreachable):
            return []

    def holds(self, *ports: int) -> None:
        wanted = [f"sip:127.0.0.1:{port}" for port in ports]
        wait_for(f"{wanted}", lambda: sorted(self.routers()) == wanted, 60, self.node.log)

    def watched(self) -> Sampler[Dispatcher]:
        return Sampler(self.node.kamailio.ctl, Rpc.dispatcher)

    def restart(self, sets: str) -> None:
        """With other sets of the dispatcher."""
        assert self.node.stop() == 0
        self.node.config.write_text(self.node.config.read_text().replace(TO_ROUTERS, sets))
        self.node.start()
        self.node.ready()

    def catalog(self) -> list[str]:
        found = self.cluster.servers[0].ask("GET", "/v1/health/service/sbc?passing")
        assert isinstance(found, list)
        return sorted(each["Service"]["ID"] for each in found)

    def registration(self) -> dict[str, Any]:
        found: dict[str, Any] = self.node.ask("status")["node"]["registration"]
        return found


@pytest.fixture
def world(tmp_path: Path, cluster: SecureCluster) -> Iterator[World]:
    with Lab(tmp_path / "lab"), ExitStack() as stack:
        yield World(stack, tmp_path, cluster)


def explained(node: Member, what: str) -> str:
    """Whatever the exit code: nobody answers pings here, and by and by Kamailio finds that out."""
    argv = [sys.executable, "-m", "consul_kam", "explain", what]
    return subprocess.run(argv, env={**os.environ, **node.env}, capture_output=True, text=True, timeout=90).stdout


def test_a_whole_node_on_the_least_policy(world: World) -> None:
    node = world.node
    node.ready()
    world.holds(5071)
    assert environment(node)["values"]["GREETING"]["value"] == "hello"
    wait_for("it in the catalog", lambda: world.catalog() == [HOST, "sbc-0"], 20)
    world.cluster.servers[0].register("router", "r2", port=5072)
    world.holds(5071, 5072)
    world.cluster.servers[0].deregister("r2")
    world.holds(5071)
    cli(node, "drain", "--reason", "a test")
    wait_for("maintenance at the others", lambda: world.catalog() == ["sbc-0"], 20)
    cli(node, "undrain")
    wait_for("it to be back", lambda: world.catalog() == [HOST, "sbc-0"], 20)
    before = node.pid_of()
    assert "is back" in cli(node, "restart", "--rolling")
    assert node.pid_of() != before
    assert world.registration()["trouble"] == ""
    assert "ok registered  service router, ID r1" in explained(node, "r1")
    assert node.stop() == 0
    wait_for("it to be gone", lambda: world.catalog() == ["sbc-0"], 20)


def test_a_right_to_a_service_that_is_lost_is_an_error_and_the_list_stays(world: World) -> None:
    """Consul says 200 and "none"; rights that return are seen without anybody's help."""
    servers = world.cluster.servers
    servers[0].register("router", "r2", port=5072)
    world.holds(5071, 5072)
    with world.watched() as seen:
        world.lose('service "router"', "/v1/health/service/router")
        servers[0].deregister("r2")
        world.renders_anew()
        world.rejected("service router")
        assert world.node.status()["staging"][0]["state"] == "rejected"
        said = explained(world.node, "r1")
        assert "Consul's ACLs hide some of service router from our token (docs/acl.md)" in said
        wait_for("doctor's word", lambda: "acl_filtered" in cli(world.node, "doctor", code=1), 60)
        assert sorted(world.routers()) == ["sip:127.0.0.1:5071", "sip:127.0.0.1:5072"]
        world.regain("/v1/health/service/router")
        world.holds(5071)
        assert seen.never(lambda memory: not any(each.uri.endswith(":5071") for each in memory.get(1, [])))


def troubles(node: Member) -> str:
    return " ".join(environment(node)["troubles"])


def test_a_right_to_kv_that_is_lost_is_an_error_and_the_list_stays(world: World) -> None:
    server = world.cluster.servers[0]
    server.kv_put("consul_kam/gateways/a", "sip:127.0.0.1:5081 0 5")
    world.restart(sets=f'{TO_ROUTERS}[[datasets.dispatcher.sets]]\nsetid = 1\nkv = "consul_kam/gateways"\n')
    world.holds(5071, 5081)
    with world.watched() as seen:
        world.lose('key_prefix "consul_kam/gateways/"', f"{KV}?recurse")
        server.kv_put("consul_kam/gateways/b", "sip:127.0.0.1:5082 0 5")
        world.renders_anew()
        world.rejected("kv consul_kam/gateways")
        world.regain(f"{KV}?recurse")
        world.holds(5071, 5081, 5082)
        assert seen.never(lambda memory: not {5071, 5081} <= {int(each.uri[-4:]) for each in memory.get(1, [])})
    server.kv_delete("consul_kam/gateways", recurse=True)


def test_a_right_to_variables_that_is_lost_is_an_error_and_they_stay(world: World) -> None:
    server = world.cluster.servers[0]
    world.node.ready()
    world.lose('key_prefix "c4/global/"', "/v1/kv/c4/global/?recurse")
    server.kv_put("c4/global/GREETING", "good day")  # ends the question that was asked while it had the right
    said = "cannot read KV c4/global/: ACLs hide some of it from our token"
    wait_for("it to be said", lambda: said in troubles(world.node), 60)
    server.kv_put("c4/global/GREETING", "bye")
    time.sleep(3 * PACE)
    assert said in troubles(world.node)
    assert environment(world.node)["values"]["GREETING"]["value"] in ("hello", "good day")
    world.regain("/v1/kv/c4/global/?recurse")
    wait_for("the change", lambda: environment(world.node)["values"]["GREETING"]["value"] == "bye", 60)
    assert troubles(world.node) == ""
    server.kv_put("c4/global/GREETING", "hello")


def test_a_right_to_register_that_is_lost_is_said_and_the_registration_comes_back_with_it(world: World) -> None:
    wait_for("it in the catalog", lambda: world.catalog() == [HOST, "sbc-0"], 30)
    world.lose('service "sbc"', "/v1/health/service/sbc")
    wait_for("trouble", lambda: "lacks permission 'service:read" in world.registration()["trouble"], 30)
    wait_for("it there all the same", lambda: world.catalog() == [HOST, "sbc-0"], 20)
    world.cluster.agent.deregister(HOST)
    wait_for("more trouble", lambda: "service:write" in world.registration()["trouble"], 30)
    said = cli(world.node, "drain", code=1)
    assert "cannot see all of service sbc: Consul's ACLs hide some of service sbc from our token" in said
    world.regain("/v1/health/service/sbc")
    wait_for("it in the catalog", lambda: world.catalog() == [HOST, "sbc-0"], 30)
    wait_for("no trouble", lambda: world.registration()["trouble"] == "", 30)
