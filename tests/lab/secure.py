"""A Consul cluster as it should be: three servers and a client agent, mutual TLS everywhere, gossip encrypted, and ACLs
that deny. Policies are those of examples/acl.
"""

import base64
import http.client
import json
import os
import signal
import ssl
from pathlib import Path

from tests.lab.cluster import SERVERS, Cluster, Member
from tests.lab.engine import ROOT
from tests.lab.process import PATIENCE, wait_for
from tests.lab.secure_ca import LOCAL, Authority, Pair

MANAGEMENT = "11111111-2222-3333-4444-555555555555"
AGENT = "aaaaaaaa-2222-3333-4444-555555555555"
POLICIES = ROOT / "examples" / "acl"
LEADERLESS = ("No cluster leader", "leadership lost", "not the leader")
HOST = "HOST"
"""What stands in the shipped policies for the name of the node's agent."""


def shipped(role: str, host: str) -> str:
    """examples/acl/ROLE.hcl for one host."""
    return (POLICIES / f"{role}.hcl").read_text().replace(HOST, host)


class Identity:
    """What one agent, or one client of agents, shows and trusts: files of its own, replaced in place."""

    def __init__(self, directory: Path, authority: Authority, names: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self._names = directory, names
        self.ca, self.pair = directory / "ca.pem", Pair(directory / "cert.pem", directory / "cert.key")
        self.trust(authority)
        self.show(authority)

    def trust(self, *authorities: Authority) -> None:
        replace(self.ca, "".join(each.certificate.read_text() for each in authorities))

    def show(self, authority: Authority, **dates: float) -> None:
        """A new certificate; `dates` and other names as of Authority.issue."""
        self.put(authority.issue(self.directory / "new", self._names, **dates))

    def put(self, pair: Pair) -> None:
        for new, old in zip(pair, self.pair, strict=True):
            replace(old, new.read_text())


def replace(path: Path, text: str) -> None:
    """As a careful operator does: never half of it."""
    beside = path.with_name(f".{path.name}.new")
    beside.write_text(text)
    beside.chmod(0o600)
    beside.rename(path)


class SecureMember(Member):
    """One agent, spoken to by HTTPS alone; `us` is who the tests are there."""

    def __init__(
        self, directory: Path, name: str, join: list[str], server: bool, identity: Identity, us: Identity, gossip: str
    ) -> None:
        self.identity, self._us, self._gossip = identity, us, gossip
        super().__init__(directory, name, join, server, MANAGEMENT)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def _config(self, acl: bool) -> dict[str, object]:
        config = super()._config(acl)
        ports, acls = config["ports"], config["acl"]
        assert isinstance(ports, dict)
        assert isinstance(acls, dict)
        if not self._server:
            acls["tokens"] = {"agent": AGENT}
        acls |= {"token_ttl": "200ms", "policy_ttl": "200ms", "role_ttl": "200ms"}
        mine = {"ca_file": str(self.identity.ca), "cert_file": self.identity.pair.names[0]}
        mine |= {"key_file": self.identity.pair.names[1]}
        return config | {
            "encrypt": self._gossip,
            "ports": ports | {"http": -1, "https": self.port},
            "acl": acls,
            "tls": {
                "defaults": {**mine, "verify_incoming": True, "verify_outgoing": True},
                "internal_rpc": {"verify_server_hostname": True},
            },
        }

    def _open(self, timeout: float = 30.0) -> http.client.HTTPConnection:
        context = ssl.create_default_context(cafile=str(self._us.ca))
        context.load_cert_chain(*self._us.pair)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=timeout, context=context)

    def request(self, method: str, path: str, body: object = None, token: str | None = None) -> tuple[int, object]:
        """As of any agent. It is asked again while the servers elect another leader: where a whole machine stood still
        for seconds they do."""
        found: list[tuple[int, object]] = []

        def led() -> bool:
            found[:] = [super(SecureMember, self).request(method, path, body, token)]
            return found[0][0] != 500 or not any(said in str(found[0][1]) for said in LEADERLESS)

        wait_for(f"a leader who answers {method} {path}", led, 2 * PATIENCE, self.log, every=0.1)
        return found[0]

    def hides(self, token: str, path: str) -> bool:
        """Whether what this agent itself knows is shown to the token in part only, or not at all."""
        connection = self._open()
        connection.request("GET", f"{path}{'&' if '?' in path else '?'}stale", headers={"X-Consul-Token": token})
        reply = connection.getresponse()
        reply.read()
        connection.close()
        return reply.status == 403 or reply.getheader("X-Consul-Results-Filtered-By-ACLs") is not None

    def reload(self) -> None:
        """It reads its certificates and its CA again, and we speak to it anew; until it shows the certificate."""
        assert self._process is not None
        self._drop()
        try:
            self.ask("PUT", "/v1/agent/reload")  # answers once that is done
        except OSError:  # it shows what we do not trust
            self._process.send(signal.SIGHUP)
        self._drop()
        wait_for(f"{self.name} to show its certificate", self._shows, 20, self.log)

    def _shows(self) -> bool:
        try:
            shown = ssl.get_server_certificate(("127.0.0.1", self.port), timeout=5)
        except OSError:
            return False
        return shown.strip() == self.identity.pair.certificate.read_text().strip()

    def restart(self, **meta: str) -> None:
        """With other meta of its node, which it tells to the catalog at once by its own token."""
        self._more["node_meta"] = meta
        (self.directory / "consul.json").write_text(json.dumps(self._config(True)))
        self.stop()
        self.spawn()


class SecureCluster(Cluster):
    """`with SecureCluster(tmp_path) as cluster:`; `us`: files of a client of its agents."""

    agent: SecureMember

    def __init__(self, directory: Path, host: str = "host1") -> None:
        """`host`: the client agent's name."""
        self.directory = directory
        self.authority = Authority(directory / "authority")
        self.us = Identity(directory / "us", self.authority, LOCAL)
        self._gossip = base64.b64encode(os.urandom(32)).decode()
        join: list[str] = []
        self.secure = [self._member(f"server{n}", join, True) for n in range(SERVERS)]
        self.servers = list(self.secure)
        join += [server.serf for server in self.servers]
        for server in self.servers:
            (server.directory / "consul.json").write_text(json.dumps(server._config(True)))
        self.agent = self._member(host, join, False)
        self.secure.append(self.agent)

    def _member(self, name: str, join: list[str], server: bool) -> SecureMember:
        names = f"{LOCAL},DNS:server.dc1.consul" if server else LOCAL
        identity = Identity(self.directory / f"{name}-tls", self.authority, names)
        return SecureMember(self.directory / name, name, join, server, identity, self.us, self._gossip)

    def start(self) -> "SecureCluster":
        for server in self.servers:
            server.spawn()
        wait_for("the cluster's leader", self._led, 60, self.servers[0].log, every=0.05)
        self.grant("agent", shipped("agent", self.agent.name), AGENT)
        self.agent.spawn()
        self.settle(60)
        return self

    def _led(self) -> bool:
        try:
            return self.servers[0].request("GET", "/v1/catalog/node/server0")[1] not in (None, "") and (
                self.servers[0].request("GET", "/v1/acl/policies")[0] == 200
            )
        except OSError:
            return False

    def consul_lines(self, token_file: Path, us: "Identity | None" = None) -> str:
        """Lines of [consul] for a node of ours, but for its address."""
        us = us or self.us
        certificate, key = us.pair.names
        files = {"token_file": token_file, "ca_file": us.ca, "cert_file": certificate, "key_file": key}
        return "".join(f'{name} = "{value}"\n' for name, value in files.items())

    # -- ACLs ---------------------------------------------------------------------------------------------------------

    def grant(self, name: str, rules: str, secret: str = "") -> str:
        """A policy, and a token with it alone; the token."""
        policy = self.servers[0].ask("PUT", "/v1/acl/policy", {"Name": name, "Rules": rules})
        assert isinstance(policy, dict)
        return self.token(name, secret)

    def token(self, name: str, secret: str = "") -> str:
        """One more token with this policy, known to each server: one that hears of it late would call it unknown."""
        wanted = {"Policies": [{"Name": name}], **({"SecretID": secret} if secret else {})}
        made = self.servers[0].ask("PUT", "/v1/acl/token", wanted)
        assert isinstance(made, dict)
        token = str(made["SecretID"])
        for server in self.servers:
            known = lambda server=server: server.request("GET", "/v1/acl/token/self?stale", token=token)[0] == 200  # noqa: E731
            wait_for(f"the new token at {server.name}", known, 20, server.log, every=0.01)
        return token

    def change(self, name: str, rules: str) -> None:
        """The policy, for all tokens that have it; see `seen_by` for when an agent heeds it."""
        found = self.servers[0].ask("GET", f"/v1/acl/policy/name/{name}")
        assert isinstance(found, dict)
        self.servers[0].ask("PUT", f"/v1/acl/policy/{found['ID']}", {"Name": name, "Rules": rules})

    def heeded(self, token: str, path: str, hidden: bool) -> None:
        """Until each server hides something at this path, or nothing, from the token: policies take a moment."""
        for server in self.secure[:SERVERS]:
            what = f"{path} {'hidden' if hidden else 'shown'} at {server.name}"
            wait_for(what, lambda s=server: s.hides(token, path) is hidden, 20, server.log)  # type: ignore[misc]

    def revoke(self, token: str) -> None:
        """The token, for good."""
        own = self.servers[0].request("GET", "/v1/acl/token/self", token=token)[1]
        assert isinstance(own, dict)
        self.servers[0].ask("DELETE", f"/v1/acl/token/{own['AccessorID']}")
