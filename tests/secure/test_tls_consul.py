"""Our certificate for a Consul that asks for one: followed by our client and by consul-template, with no list lost."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.identity import Files
from consul_kam.errors import ConsulError
from tests.lab import ConsulAgent, Lab, free_port, wait_for
from tests.lab.node import Node
from tests.lab.tls import Authority, Issued
from tests.lab.world import BASE, lab, uri

__all__ = ["lab"]


class Https(ConsulAgent):
    """One whose address, for others, is that of HTTPS."""

    https: int

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.https}"


class Mutual:
    """An agent that takes only those with a certificate of `clients`."""

    def __init__(self, directory: Path) -> None:
        self.servers, self.clients = Authority(directory / "servers"), Authority(directory / "clients")
        certificate, key = self.servers.issue(directory / "server", "IP:127.0.0.1,DNS:localhost")
        self.issued = Issued(directory / "issued" / "consul", self.clients, "DNS:client")
        self.agent = Https(directory / "agent")
        self.agent.https = free_port()
        path = directory / "agent" / "consul.json"
        config = json.loads(path.read_text())
        config["ports"]["https"] = self.agent.https
        files = {"ca_file": self.clients.certificate, "cert_file": certificate, "key_file": key}
        config["tls"] = {"https": {**{name: str(file) for name, file in files.items()}, "verify_incoming": True}}
        path.write_text(json.dumps(config))

    @property
    def files(self) -> Files:
        place = self.issued.directory
        return Files(str(place / "certificate.pem"), str(place / "key.pem"), str(self.servers.certificate))


@pytest.fixture
def mutual(tmp_path: Path) -> Iterator[Mutual]:
    found = Mutual(tmp_path / "mutual")
    with found.agent:
        yield found


def test_the_client_takes_a_new_certificate_without_a_restart(mutual: Mutual) -> None:
    mutual.issued.renew()
    client = Consul(mutual.agent.address, certificate=mutual.files)
    assert client.leader()
    other = Authority(mutual.issued.directory.parent / "other")
    mutual.issued.renew(other)  # of an authority that the agent does not know: it was taken up where that is refused
    with pytest.raises(ConsulError):
        client.get("/v1/kv/x")
    mutual.issued.renew()
    assert client.leader()
    assert client.get("/v1/kv/x").code == 404


def test_a_bad_one_is_not_taken_and_the_one_before_goes_on(mutual: Mutual) -> None:
    mutual.issued.renew()
    client = Consul(mutual.agent.address, certificate=mutual.files)
    assert client.leader()
    made = mutual.issued.copy()
    (made / "key.pem").write_text("no key\n")
    mutual.issued.swap(made)
    client._client.http.session.close()  # a new connection, with a new handshake
    assert client.leader()
    with pytest.raises(ConsulError, match="cannot use the key"):
        Consul(mutual.agent.address, certificate=mutual.files).get("/v1/kv/x")
    mutual.issued.directory.unlink()
    client._client.http.session.close()
    assert client.leader()


def test_authorities_change_with_it(mutual: Mutual) -> None:
    mutual.issued.renew()
    ca = mutual.servers.certificate.with_name("agents.pem")
    ca.write_bytes(mutual.clients.certificate.read_bytes())
    files = mutual.files._replace(ca=str(ca))
    client = Consul(mutual.agent.address, ca_file=files.ca, certificate=files)
    with pytest.raises(ConsulError, match="its certificate is of no authority in"):
        client.get("/v1/kv/x")
    ca.write_bytes(mutual.clients.certificate.read_bytes() + mutual.servers.certificate.read_bytes())
    assert client.leader()


def test_a_node_goes_on_through_each_of_them(lab: Lab, mutual: Mutual) -> None:
    """Lists, registration and consul-template, which reads its certificate once."""
    mutual.issued.renew()
    for number in (1, 2):
        mutual.agent.register("router", f"r{number:02d}", port=BASE + number)
    place = mutual.issued.directory
    files = f'cert_file = "{place / "certificate.pem"}"\nkey_file = "{place / "key.pem"}"'
    node = lab.node(mutual.agent, registered=True, consul_lines=f'{files}\nca_file = "{mutual.servers.certificate}"')
    node.ready()
    for number in (3, 4):
        before = node.pid_of("consul-template")
        mutual.issued.renew()
        node.runs("consul-template", other_than=before)
        mutual.agent.register("router", f"r{number:02d}", port=BASE + number)
        holds(node, number)
        node.logged("its certificate for Consul changed")
    told = next(each for each in node.ask("status")["node"]["certificates"] if each["use"] == "consul")
    assert told["trouble"] == ""
    assert told["ends"] is not None
    wait_for("the registration", lambda: node.ask("status")["node"]["registration"]["state"] == "registered", 20)
    # one that would make it end is not taken
    before = node.pid_of("consul-template")
    made = mutual.issued.copy()
    (made / "certificate.pem").write_text("none\n")
    mutual.issued.swap(made)
    node.logged("certificate of consul: cannot use the certificate")
    mutual.agent.register("router", "r05", port=BASE + 5)
    holds(node, 5)
    assert node.pid_of("consul-template") == before


def holds(node: Node, count: int) -> None:
    def look() -> bool:
        with suppress(Exception):
            found = node.kamailio.rpc.dispatcher()
            return [d.uri for d in found.get(1, [])] == [uri(number) for number in range(1, count + 1)]
        return False

    wait_for(f"{count} routers", look, 20, node.log, 0.05)
