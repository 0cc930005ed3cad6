"""All of it at once: a Consul with mutual TLS and ACLs that deny, a PostgreSQL, and a Vault that gives its nodes
Consul's token, Consul's certificates, a user of the database, and Kamailio's certificate.
"""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.engine import ROOT
from tests.lab.kamailio import find
from tests.lab.node import Node
from tests.lab.ports import free_port
from tests.lab.postgres import Postgres
from tests.lab.process import wait_for
from tests.lab.secrets import MEMORY
from tests.lab.secure import shipped
from tests.lab.secure_agent import SecureAgent
from tests.lab.secure_ca import LOCAL, Authority
from tests.lab.tls import fingerprint
from tests.lab.vault import Vault

GUEST = "gateway"
"""The service whose instances come and go."""
GUESTS = 3
"""Their set in each dispatcher; nobody is called there."""
MORE = {"sbc": f'service "{GUEST}" {{ policy = "read" }}\n', "router": ""}
POLICY = ROOT / "examples" / "vault" / "policy.hcl"
CONSUL_LINES = "\n".join(
    f'{key} = "secret://{place}"'
    for key, place in {
        "token_file": "consul/token",
        "ca_file": "consul_tls/ca",
        "cert_file": "consul_tls/certificate",
        "key_file": "consul_tls/key",
    }.items()
)
"""Of [consul]."""
TABLES = """\
[vault]
address = "{address}"
ca_file = "{ca}"
directory = "{place}/secrets"
[vault.auth]
method = "approle"
role_id_file = "{place}/role-id"
secret_id_file = "{place}/secret-id"
[vault.secrets.consul]
kind = "consul"
path = "consul/creds/{role}"
[vault.secrets.consul_tls]
kind = "kv"
path = "secret/data/kamailio/consul"
every = 0.5
[vault.secrets.sip]
kind = "pki"
path = "pki/issue/kamailio"
common_name = "{name}"
ip_sans = ["127.0.0.1"]
[kamailio.tls]
cert_file = "secret://sip/certificate.pem"
key_file = "secret://sip/key.pem"
ca_file = "secret://sip/ca.pem"
directory = "{place}/kamailio-tls"
connect = "127.0.0.1:{tls}"
gap = 1
apply = "{apply}"
"""
DATABASE = """\
[vault.secrets.db]
kind = "database"
path = "database/creds/kamailio"
text = "{url}"
[env]
include = "{place}/env.cfg"
every = 0.3
[env.vars.DBURL]
value = "secret://db/text"
"""
TLS_CFG = """\
enable_tls=yes
listen=tls:127.0.0.1:{tls}
loadmodule "{modules}/tls.so"
modparam("tls", "config", "{place}/kamailio-tls/tls.cfg")
"""
PROBED = "[probes.http_status]\nperiod = 0.3\n[probes.sip_options]\nperiod = 0.3\n"
"""Of the lists as it ships: a list that changes each second waits for Kamailio's window all the while."""
DATABASE_CFG = """\
include_file "{place}/env.cfg"
loadmodule "{modules}/db_postgres.so"
modparam("htable", "db_url", DBURL)
modparam("htable", "htable", "numbers=>size=4;dbtable=htable;")
"""


@dataclass(frozen=True)
class Lives:
    """Seconds that each lease, and each certificate, lasts."""

    token: int = 3600
    password: int = 3600
    certificate: int = 3600


@dataclass(frozen=True)
class Laid:
    """What one node has of it. `toml`: tables; `cfg` and `database`: of its Kamailio; `tls`: the port of that."""

    place: Path
    toml: str
    cfg: str
    database: str
    tls: int


class Secured:
    """`with ExitStack() as stack: world = Secured(stack, tmp_path, Lives(token=20))`: all of it runs."""

    def __init__(
        self,
        stack: ExitStack,
        directory: Path,
        lives: Lives = Lives(),
        database: bool = True,
    ) -> None:
        self._directory = directory
        self.place = Path(tempfile.mkdtemp(prefix="ck-", dir=MEMORY))
        stack.callback(shutil.rmtree, self.place, ignore_errors=True)
        self.consul = stack.enter_context(SecureAgent(directory / "consul"))
        self._postgres = stack.enter_context(Postgres(directory / "postgres")) if database else None
        self.vault = stack.enter_context(Vault(directory / "vault"))
        for role, more in MORE.items():
            self.consul.policy(role, shipped(role, self.consul.host) + more)
        self._mount()
        self.last(lives)
        self.trust(self.consul.authority)

    def _mount(self) -> None:
        vault = self.vault
        vault.mount("kv-v2", "secret")
        vault.mount("consul")
        if self._postgres is not None:
            vault.database(self._postgres.admin, "kamailio", 3600)
        vault.pki()
        vault.auth("approle")

    @property
    def postgres(self) -> Postgres:
        assert self._postgres is not None, "made without a database"
        return self._postgres

    def last(self, lives: Lives) -> None:
        """From the next of each on."""
        for role in MORE:
            life = {"ttl": f"{lives.token}s", "max_ttl": f"{lives.token}s"}
            self.vault.ask("PUT", f"consul/roles/{role}", {"consul_policies": [role], **life})
        if self._postgres is not None:
            self.vault.lease("kamailio", lives.password)
        role_of_pki = {"allow_any_name": True, "key_type": "ec", "not_before_duration": "5s"}
        life = {"ttl": f"{lives.certificate}s", "max_ttl": f"{lives.certificate}s"}
        self.vault.ask("PUT", "pki/roles/kamailio", {**role_of_pki, **life})

    def lay(self, name: str, role: str, database: bool, version: str = "", apply: str = "auto") -> Laid:
        """A place on tmpfs, a login of its own, and what is written for it. `version`: of its Kamailio; `apply`: of
        [kamailio.tls]."""
        place, tls = self.place / name, free_port()
        place.mkdir(0o700)
        rights = POLICY.read_text().replace("consul/creds/node", f"consul/creds/{role}")
        self.vault.policy(role, rights)
        for file, text in zip(("role-id", "secret-id"), self.vault.approle(name, role), strict=True):
            (place / file).touch(0o600)
            (place / file).write_text(text)
        known = {
            "place": place,
            "role": role,
            "name": name,
            "tls": tls,
            "modules": find(version).modules,
            "apply": apply,
        }
        toml = TABLES.format(address=self.vault.address, ca=self.vault.ca_file, **known)
        if database:
            toml += DATABASE.format(url=self.postgres.url("{username}", "{password}"), place=place)
        return Laid(place, toml, TLS_CFG.format(**known), DATABASE_CFG.format(**known) if database else "", tls)

    # -- Consul's authority --------------------------------------------------------------------------------------------

    def trust(self, *authorities: Authority, shown: Authority | None = None) -> None:
        """The nodes and Vault trust these in Consul, and show it certificates of `shown`, else of the first."""
        pair = (shown or authorities[0]).issue(self._directory / "client", LOCAL)
        ca = "".join(each.certificate.read_text() for each in authorities)
        certificate, key = (path.read_text() for path in pair)
        access = {"address": f"127.0.0.1:{self.consul.port}", "scheme": "https", "token": self.consul.token}
        access |= {"ca_cert": ca, "client_cert": certificate, "client_key": key}
        self.vault.ask("PUT", "consul/config/access", access)
        self.vault.kv("kamailio/consul", {"ca": ca, "certificate": certificate, "key": key})

    def another_authority(self, nodes: Sequence[Node], number: int) -> None:
        """Consul's certificates come from another authority, without a moment in which somebody trusts nobody: both are
        trusted, certificates of the new one are shown, the old one is trusted no more."""
        old, new = self.consul.authority, Authority(self._directory / f"authority{number}", str(number))
        self.consul.trust(old, new)
        self._give(nodes, old, new)
        self.consul.show(new)
        self._give(nodes, old, new, shown=new)
        self.consul.trust(new)
        self._give(nodes, new)

    def _give(self, nodes: Sequence[Node], *authorities: Authority, shown: Authority | None = None) -> None:
        """As `trust`; until each node has it, and a consul-template that was started with it."""
        templates = {node: node.pid_of("consul-template") for node in nodes}
        self.trust(*authorities, shown=shown)
        wanted = fingerprint(self.vault.ask("GET", "secret/data/kamailio/consul")["data"]["data"]["certificate"])
        for node, pid in templates.items():
            has = lambda node=node: told(node, "consul")["fingerprint"] == wanted  # noqa: E731
            wait_for(f"Consul's files at {name_of(node)}", has, 30, node.log, 0.05)
            node.runs("consul-template", other_than=pid, timeout=30)


def told(node: Node, use: str = "kamailio") -> dict[str, Any]:
    """Of one certificate, by its status."""
    found: list[dict[str, Any]] = node.ask("status")["node"]["certificates"]
    return next(each for each in found if each["use"] == use)


def name_of(node: Node) -> str:
    return node.directory.name


def generation(node: Node, secret: str) -> int:
    """How many of it there were, the first one included."""
    found = node.ask("status")["node"]["secrets"]["secrets"]
    return int(next(each["generation"] for each in found if each["name"] == secret))
