"""Consul's token from Vault, rotated under a running node: registration, queries and consul-template go on."""

import http.client
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.lab import ConsulAgent, Lab, Node, uris
from tests.lab.process import freeze, meanwhile, wait_for
from tests.lab.secrets import Secrets
from tests.lab.vault import Vault
from tests.lab.world import uri

pytestmark = pytest.mark.vault
LEAST = """
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
service "sbc" { policy = "write" }
key_prefix "c4/" { policy = "read" }
"""


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[ConsulAgent]:
    """With ACLs, default deny; the policy `node` is what a node needs."""
    with ConsulAgent(tmp_path / "consul", acl=True) as started:
        started.ask("PUT", "/v1/acl/policy", {"Name": "node", "Rules": LEAST})
        yield started


@pytest.fixture
def vault(tmp_path: Path, consul: ConsulAgent) -> Iterator[Vault]:
    with Vault(tmp_path / "vault") as started:
        started.mount("kv-v2", "secret")
        started.mount("consul")
        access = {"address": consul.address, "scheme": "http", "token": consul.token}
        started.ask("PUT", "consul/config/access", access)
        rights = "".join(f'path "{path}" {{ capabilities = ["read"] }}\n' for path in ("consul/creds/node", "secret/*"))
        started.policy("node", rights)
        yield started


def lease(vault: Vault, seconds: int) -> None:
    """Of tokens, from the next one on."""
    body = {"consul_policies": ["node"], "ttl": f"{seconds}s", "max_ttl": f"{seconds}s"}
    vault.ask("PUT", "consul/roles/node", body)


FROM_CONSUL = 'kind = "consul"\npath = "consul/creds/node"'
FROM_KV = 'kind = "kv"\npath = "secret/data/consul"\nevery = 0.5'


def started(secrets: Secrets, vault: Vault, lab: Lab, consul: ConsulAgent, lines: str, more: str = "") -> Node:
    """One whose Consul's token is the field `token` of the secret `consul`."""
    toml = secrets.toml(vault, vault.token("node", period="1h"), consul=lines)
    registration = "[registration]\nevery = 0.2\ncheck_interval = 1\nport = 5060\n"
    node = lab.node(consul, more=toml + registration + more, start=False, dispatcher="max_shrink = 0.9")
    text = node.config.read_text().replace("[consul]\n", '[consul]\ntoken_file = "secret://consul/token"\n')
    node.config.write_text(text)
    node.start()
    node.ready(60)
    return node


def rotations(secrets: Secrets, node: Node, count: int, act: Callable[[int, int], object]) -> list[str]:
    """`act` with each of so many tokens, as soon as it is there; the tokens. It is told the token's number, and which
    process was consul-template until then."""
    tokens = [secrets.read("consul", "token")]
    for number in range(count):
        template = node.pid_of("consul-template")
        wait_for("another token", lambda: secrets.read("consul", "token") not in ("", *tokens), 60, node.log)
        tokens.append(secrets.read("consul", "token"))
        act(number, template)
    return tokens


class Eye:
    """Asks an agent, on whatever thread: a connection for each question."""

    def __init__(self, consul: ConsulAgent) -> None:
        self._port, self._token = consul.port, consul.token

    def ask(self, method: str, path: str) -> object:
        client = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            client.request(method, path, headers={"X-Consul-Token": self._token})
            reply = client.getresponse()
            assert reply.status == 200
            return json.load(reply)
        finally:
            client.close()


def service(consul: "ConsulAgent | Eye", node: Node) -> dict[str, Any] | None:
    """The node as the catalog has it."""
    found = consul.ask("GET", "/v1/health/service/sbc")
    assert isinstance(found, list)
    return next((entry for entry in found if entry["Service"]["ID"] == f"node-{node.directory.name}"), None)


def status(consul: ConsulAgent, node: Node) -> str:
    """Of its check, as the catalog has it; "" where it has none."""
    found = service(consul, node)
    checks = found["Checks"] if found is not None else []
    return next((str(check["Status"]) for check in checks if check["CheckID"].startswith("service:")), "")


def add(consul: ConsulAgent, number: int) -> None:
    consul.register("router", f"r{number:02d}", port=int(uri(number).rpartition(":")[2]))


def alive(consul: ConsulAgent, token: str) -> bool:
    return consul.request("GET", "/v1/acl/token/self", token=token)[0] == 200


def test_no_change_is_lost_while_the_token_is_rotated(
    secrets: Secrets, consul: ConsulAgent, vault: Vault, lab: Lab
) -> None:
    """Changes around each rotation; what was there from the beginning is never gone, and the node always registered."""
    lease(vault, 21)  # in its last third the machine may stand still for a while
    for number in (1, 2, 3):
        add(consul, number)
    node = started(secrets, vault, lab, consul, FROM_CONSUL)
    seen = lab.sampler(node.kamailio)
    seen.wait_until(lambda memory: uris(memory) == [uri(1), uri(2), uri(3)], 30)
    began, template = time.monotonic(), node.pid_of("consul-template")
    looks: list[bool] = []
    eye = Eye(consul)

    def look() -> None:
        looks.append(service(eye, node) is not None)

    def change(number: int, template: int) -> None:
        """One before consul-template's restart, or in it, and two that fall into it."""
        guest = 20 + number
        add(consul, guest)
        seen.wait_until(lambda memory: uri(guest) in uris(memory), 30)
        node.logged(f"restarting process=consul-template pid={template} ")
        consul.deregister(f"r{guest}")
        add(consul, 5 + number)
        seen.wait_until(lambda memory: uri(guest) not in uris(memory) and uri(5 + number) in uris(memory), 30)

    wait_for("registration", lambda: status(consul, node) == "passing", 30, node.log)
    with meanwhile(look, 0.05):
        tokens = rotations(secrets, node, 3, change)
    assert len(looks) > 50
    assert all(looks), "the node is in the catalog all the while"
    stays = {uri(1), uri(2), uri(3)}
    assert seen.never(lambda memory: not stays <= set(uris(memory)), since=began)
    assert uris(seen.now() or {}) == [uri(number) for number in (1, 2, 3, 5, 6, 7)]
    assert node.pid_of("consul-template") != template, "it reads its token once"
    wait_for("the end of the first token", lambda: not alive(consul, tokens[0]), 30)
    assert ": 403 " not in node.log.read_text(), "no request went with a token that was dead"

    def renewed() -> int:
        registered = [entry["reason"] for entry in node.journal() if entry.get("event") == "registered"]
        return registered.count("Consul's token is another one")

    wait_for("each token told", lambda: renewed() >= 3, 30, node.log)
    ended = [entry for entry in node.journal() if entry.get("event") == "deregistered"]
    assert ended == []


def test_the_agent_speaks_for_the_node_with_the_new_token(
    secrets: Secrets, consul: ConsulAgent, vault: Vault, lab: Lab
) -> None:
    """It keeps the token of the registration; with that dead the catalog would hear no more of the node's check."""
    lease(vault, 12)
    node = started(secrets, vault, lab, consul, FROM_CONSUL, "[probes.http_status]\naction = 'none'\n")
    wait_for("registration", lambda: status(consul, node) == "passing", 30, node.log)
    first = secrets.read("consul", "token")
    wait_for("the end of the first token", lambda: not alive(consul, first), 60, node.log)
    workers = psutil.Process(node.pid_of()).children(recursive=True)
    for process in workers:
        freeze(process.pid)
    try:
        wait_for("the check in the catalog", lambda: status(consul, node) == "critical", 60, node.log, 0.1)
    finally:
        for process in workers:
            process.resume()
    wait_for("the check in the catalog", lambda: status(consul, node) == "passing", 60, node.log, 0.1)


def test_a_token_from_kv_is_taken_up_and_one_without_rights_is_an_error(
    secrets: Secrets, consul: ConsulAgent, vault: Vault, lab: Lab
) -> None:
    for number in (1, 2):
        add(consul, number)
    tokens = [consul.create_token(LEAST) for _ in range(2)]
    poor = consul.create_token('node_prefix "" { policy = "read" }')
    vault.kv("consul", {"token": tokens[0]})
    node = started(secrets, vault, lab, consul, FROM_KV)
    seen = lab.sampler(node.kamailio)
    seen.wait_until(lambda memory: uris(memory) == [uri(1), uri(2)], 30)
    vault.kv("consul", {"token": tokens[1]})
    wait_for("the second one", lambda: secrets.read("consul", "token") == tokens[1], 30, node.log)
    node.logged("Consul's token changed", 30)
    found = consul.ask("GET", "/v1/acl/token/self")
    assert isinstance(found, dict)
    wait_for("registration with it", lambda: _registrations(node) >= 2, 30, node.log)
    _revoke(consul, tokens[0])
    add(consul, 3)
    seen.wait_until(lambda memory: uris(memory) == [uri(1), uri(2), uri(3)], 30)
    began = time.monotonic()
    vault.kv("consul", {"token": poor})
    node.logged(": 403 ", 30)
    consul.deregister("r03")
    vault.kv("consul", {"token": "two\nlines"})
    node.logged("cannot use the token file", 30)
    assert not {"two", "lines"} & set(re.findall(r"\w+", node.log.read_text()))
    assert seen.never(lambda memory: not {uri(1), uri(2)} <= set(uris(memory)), since=began)
    vault.kv("consul", {"token": tokens[1]})
    seen.wait_until(lambda memory: uris(memory) == [uri(1), uri(2)], 60)
    wait_for("registration", lambda: status(consul, node) == "passing", 30, node.log)


def _registrations(node: Node) -> int:
    return sum(entry.get("event") == "registered" for entry in node.journal())


def _revoke(consul: ConsulAgent, secret: str) -> None:
    found = consul.request("GET", "/v1/acl/token/self", token=secret)[1]
    assert isinstance(found, dict)
    consul.ask("DELETE", f"/v1/acl/token/{found['AccessorID']}")
