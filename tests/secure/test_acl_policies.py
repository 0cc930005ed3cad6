"""The policies of examples/acl are enough, and the least: each rule taken away breaks what is named here."""

import itertools
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consul_kam import config
from consul_kam.adapters import consul_kv
from consul_kam.adapters.consul_agent import ConsulAgent
from consul_kam.adapters.consul_lock import ConsulLock
from consul_kam.app.acls import sources_of
from consul_kam.app.explain import ask_consul
from consul_kam.app.render import Renderer
from consul_kam.app.wiring import consul_of
from consul_kam.config import Settings
from consul_kam.errors import ConsulKamError
from tests.integration.registering import Page, Registered
from tests.lab import program, wait_for
from tests.lab.policies import lesser, rules, text
from tests.lab.secure import SecureCluster, shipped

HOST = "host1"
"""Of the node and of its agent."""
LASTING = 60.0
"""Seconds after which what did not work is no matter of a moment."""
REFUSAL = "lacks permission"
"""Consul's own words; another trouble may be one of a moment."""
_number = itertools.count()

KV = "consul_kam/gateways", "consul_kam/carriers"
LISTS = {
    "sbc": {"dispatcher": "router", "domain": "sbc", "address": KV[0], "htable:carriers": KV[1]},
    "router": {"dispatcher": "gateway", "domain": "sbc", "rtpengine": "rtp"},
    "rtp": {},
    "operator": {"dispatcher": "router", "htable:carriers": KV[1]},
}
CONFIG = """\
[node]
role = "{role}"
name = "{host}"
state_dir = "{directory}/state"
[consul]
address = "{address}"
{consul}
[consul_template]
path = "{program}"
[env]
layers = ["c4/global", "c4/role/{{role}}", "c4/node/{{node}}"]
{lists}
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureCluster]:
    """With an instance of each service on a server, and a value below each prefix, none of which is a node's own."""
    with SecureCluster(tmp_path_factory.mktemp("secure")) as started:
        server = started.servers[0]
        for name in ("sbc", "router", "gateway", "rtp", "secret"):
            server.register(name, f"{name}-0", port=5070)
        for key in ("consul_kam/gateways/a", "consul_kam/carriers/a", "consul_kam/gateways-of-others/a", "secret/a"):
            server.kv_put(key, "192.0.2.1/32")
        for layer in ("global", "role/sbc", "role/router", "role/rtp", f"node/{HOST}"):
            server.kv_put(f"c4/{layer}/LISTEN", "192.0.2.1")
        yield started


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    opened = Page()
    yield opened
    opened.close()


@dataclass
class Asking:
    """One role, with one token."""

    cluster: SecureCluster
    role: str
    page: Page
    directory: Path
    token: str
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True)
        self._file = self.directory / "token"
        self._file.write_text(self.token)
        text = CONFIG.format(
            role=self.role,
            host=HOST,
            directory=self.directory,
            address=self.cluster.agent.address,
            consul=self.cluster.consul_lines(self._file),
            program=program("consul-template"),
            lists="".join(_list(name, source, self.directory) for name, source in LISTS[self.role].items()),
        )
        self.settings = config.parse(text, "test", {})
        self.consul = consul_of(self.settings)()
        self.agent = ConsulAgent(self.consul)

    def broken(self, expected: Collection[str] = ()) -> dict[str, str]:
        """What does not work, and why. What nobody expects is tried again and again: a right that lacks goes on
        lacking, but where a machine stood still the servers may have had no leader for a moment, and a turn that was
        begun then has to end by itself.
        """
        found = {}
        for name, works in WORK[self.role].items():
            until = time.monotonic() + (0.0 if name in expected else LASTING)
            while (why := self._why_not(works)) is not None and time.monotonic() < until:
                time.sleep(1.0)
            if why is not None:
                found[name] = why
        return found

    def _why_not(self, works: Callable[["Asking"], None]) -> str | None:
        try:
            works(self)
        except (AssertionError, ConsulKamError) as error:
            return str(error)
        return None

    def registered(self) -> Registered:
        place, more = self.cluster.agent.address, self.cluster.consul_lines(self._file)
        return Registered(
            self.directory, place, self.page.url, "port = 5060\n", every=0.2, more=more, role=self.role, name=HOST
        )


def _list(name: str, source: str, directory: Path) -> str:
    kind = "kv" if "/" in source else "service"
    key = {"dispatcher": "setid = 1\n", "rtpengine": "setid = 0\n", "address": "group = 1\n"}.get(name, "")
    sets = f'[[datasets."{name}".sets]]\n{key}{kind} = "{source}"\n'
    return f'[datasets."{name}"]\nfile = "{directory}/{name}"\n{sets}'


# ---- what a node asks Consul for


def registration(asking: Asking) -> None:
    """Registered, seen by the others, taken into maintenance and out of it, and gone."""
    with asking.registered() as node:
        node.set_ready(True)
        node.wait("a word", lambda status: status["state"] == "registered" or REFUSAL in status["trouble"])
        assert node.status()["state"] == "registered", node.status()["trouble"]
        listed(asking, True)
        node.on_the_loop(lambda: node.registrar.drain("consul_kam: a test"))
        node.wait("maintenance", lambda status: status["maintenance"])
        node.on_the_loop(lambda: node.registrar.drain(""))
        node.wait("no maintenance", lambda status: not status["maintenance"])
        node.leave()
        listed(asking, False)


def listed(asking: Asking, there: bool) -> None:
    def right() -> bool:
        found = asking.cluster.servers[0].ask("GET", f"/v1/catalog/service/{asking.role}")
        assert isinstance(found, list)
        return (HOST in [row["ServiceID"] for row in found]) is there

    wait_for(f"{HOST} {'in' if there else 'out of'} the catalog", right, 20)


def its_agent(asking: Asking) -> None:
    assert asking.agent.node() == HOST


def peers(asking: Asking) -> None:
    """Whether another one takes the calls: `drain`, `restart --rolling`."""
    assert [each.id for each in asking.agent.instances(asking.role)] == [f"{asking.role}-0"]


def a_list(name: str) -> Callable[[Asking], None]:
    """consul-template renders it, and nothing of it is hidden from it and us."""

    def works(asking: Asking) -> None:
        chosen = asking.settings.dataset(name)
        tried = Renderer(asking.settings, retry=False, directory=asking.directory).attempt([chosen], 30)
        assert not tried.failed, tried.failed
        (found,) = tried.rendered
        assert b'"records":0}' not in found.content
        hidden = [
            s.name
            for each in sources_of(chosen).values()
            for s in each
            if asking.consul.seen_of_filtered(s) is not None
        ]
        assert not hidden

    return works


def variables(layer: str) -> Callable[[Asking], None]:
    def works(asking: Asking) -> None:
        (place,) = [place for place in asking.settings.env.layers if place.startswith(f"c4/{layer}")]
        assert consul_kv.read(asking.consul, place).layer.entries == {"LISTEN": b"192.0.2.1"}

    return works


def its_turn(asking: Asking) -> None:
    """`restart --rolling`."""
    lock = ConsulLock(asking.consul, f"consul_kam/rolling/{asking.role}", "test")
    assert lock.acquire({"node": HOST})
    assert lock.renew()
    lock.release({"node": HOST, "state": "done"})
    assert lock.read().note["state"] == "done"


def explain(asking: Asking) -> None:
    """`explain` and `doctor`, of instances and of records in KV."""
    found = ask_consul(asking.consul, asking.settings, None)
    assert not {**found.trouble, **found.hidden}
    assert [each.id for each in found.instances] == ["router-0"]
    assert found.keys == {("", "consul_kam/carriers/a")}


def import_variables(asking: Asking) -> None:
    kept = consul_kv.read(asking.consul, "c4/global")
    consul_kv.write(asking.consul, kept, {"NEW": "1"})
    consul_kv.write(asking.consul, consul_kv.read(asking.consul, "c4/global"), {}, ["NEW"])


NODE = {
    "registration": registration,
    "its agent": its_agent,
    "peers": peers,
    "its turn": its_turn,
    **{f"variables of {layer}": variables(layer) for layer in ("global", "role", "node")},
}
WORK = {role: {**NODE, **{f"list {name}": a_list(name) for name in LISTS[role]}} for role in ("sbc", "router", "rtp")}
WORK["operator"] = {
    **{f"list {name}": a_list(name) for name in LISTS["operator"]},
    "explain": explain,
    "env import": import_variables,
}

COMMON = {
    'no agent "HOST"': {"its agent"},
    'no session "HOST"': {"its turn"},
    'read session "HOST"': {"its turn"},
    'no key_prefix "c4/global/"': {"variables of global"},
    'no key_prefix "c4/node/HOST/"': {"variables of node"},
}
BREAKS = {
    "sbc": {
        **COMMON,
        'no service "sbc"': {"registration", "peers", "list domain"},
        'read service "sbc"': {"registration"},
        'no service "router"': {"list dispatcher"},
        'no node_prefix ""': {"peers", "list dispatcher", "list domain"},
        'no key_prefix "consul_kam/gateways/"': {"list address"},
        'no key_prefix "consul_kam/carriers/"': {"list htable:carriers"},
        'no key_prefix "c4/role/sbc/"': {"variables of role"},
        'no key "consul_kam/rolling/sbc"': {"its turn"},
        'read key "consul_kam/rolling/sbc"': {"its turn"},
    },
    "router": {
        **COMMON,
        'no service "router"': {"registration", "peers"},
        'read service "router"': {"registration"},
        'no service "gateway"': {"list dispatcher"},
        'no service "sbc"': {"list domain"},
        'no service "rtp"': {"list rtpengine"},
        'no node_prefix ""': {"peers", "list dispatcher", "list domain", "list rtpengine"},
        'no key_prefix "c4/role/router/"': {"variables of role"},
        'no key "consul_kam/rolling/router"': {"its turn"},
        'read key "consul_kam/rolling/router"': {"its turn"},
    },
    "rtp": {
        **COMMON,
        'no service "rtp"': {"registration", "peers"},
        'read service "rtp"': {"registration"},
        'no node_prefix ""': {"peers"},
        'no key_prefix "c4/role/rtp/"': {"variables of role"},
        'no key "consul_kam/rolling/rtp"': {"its turn"},
        'read key "consul_kam/rolling/rtp"': {"its turn"},
    },
    "operator": {
        'no service_prefix ""': {"list dispatcher", "explain"},
        'no node_prefix ""': {"list dispatcher", "explain"},
        'no key_prefix "consul_kam/"': {"list htable:carriers", "explain"},
        'no key_prefix "c4/"': {"env import"},
        'read key_prefix "c4/"': {"env import"},
    },
}
"""What of WORK does not go without a rule, or with less of it."""


def asking(cluster: SecureCluster, role: str, page: Page, directory: Path, given: str) -> Asking:
    number = next(_number)
    return Asking(cluster, role, page, directory / str(number), cluster.grant(f"{role}-{number}", given))


@pytest.mark.parametrize("role", BREAKS)
def test_a_policy_is_enough_and_each_of_its_rules_is_needed(
    role: str, cluster: SecureCluster, page: Page, tmp_path: Path
) -> None:
    given = rules(shipped(role, HOST))
    assert asking(cluster, role, page, tmp_path, text(given)).broken() == {}
    broken = {}
    for missing, less in lesser(given):
        rule = missing.replace(HOST, "HOST")
        broken[rule] = set(asking(cluster, role, page, tmp_path, less).broken(BREAKS[role].get(rule, ())))
    assert broken == BREAKS[role]


def test_the_agents_own_token_is_what_tells_the_catalog_of_its_node(cluster: SecureCluster) -> None:
    def told() -> object:
        node = cluster.servers[0].ask("GET", "/v1/catalog/node/host1")
        assert isinstance(node, dict)
        return node["Node"]["Meta"].get("rack")

    def refused() -> int:
        return cluster.agent.log.read_text().count("Node info update blocked by ACLs")

    given = rules(shipped("agent", cluster.agent.name))
    whole, number = text(given), 0
    for less in [each for _, without in lesser(given) for each in (whole, without, whole)]:
        number, before, refusals = number + 1, told(), refused()
        cluster.change("agent", less)
        cluster.agent.restart(rack=f"r{number}")
        if less == whole:
            wait_for("the new meta", lambda rack=f"r{number}": told() == rack, 60)  # type: ignore[misc]
        else:
            wait_for("a refusal", lambda before=refusals: refused() > before, 60)  # type: ignore[misc]
            assert told() == before
