"""examples/vault/policy.hcl is enough, and each of its rules is needed; with none of Vault's own policy `default`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.vault import How
from consul_kam.adapters.vault import Vault as Client
from consul_kam.errors import VaultRefused
from tests.lab import ConsulAgent
from tests.lab.engine import ROOT
from tests.lab.secret_node import SecretNode, quoted
from tests.lab.vault import LIFE, Vault

pytestmark = pytest.mark.vault
HCL = (ROOT / "examples" / "vault" / "policy.hcl").read_text()
RULE = re.compile(r'^path "([^"]+)" \{.*?^\}$', re.MULTILINE | re.DOTALL)
PATHS = tuple(RULE.findall(HCL))
SECRETS = """\
[vault.secrets.api]
kind = "kv"
path = "secret/data/kamailio/api"
every = 0.5
[vault.secrets.consul]
kind = "consul"
path = "consul/creds/node"
[vault.secrets.tls]
kind = "pki"
path = "pki/issue/kamailio"
common_name = "sip.example.com"
"""


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with (
        Vault(tmp_path_factory.mktemp("vault")) as vault,
        ConsulAgent(tmp_path_factory.mktemp("consul"), acl=True) as consul,
    ):
        vault.mount("kv", "secret", version="2")
        vault.kv("kamailio/api", {"key": "one"})
        vault.mount("database")
        vault.pki()
        vault.mount("consul")
        consul.ask("PUT", "/v1/acl/policy", {"Name": "node", "Rules": 'key_prefix "x/" { policy = "read" }'})
        vault.ask("PUT", "consul/config/access", {"address": consul.address, "token": consul.token})
        vault.ask("PUT", "consul/roles/node", {"consul_policies": ["node"], "ttl": f"{LIFE}s", "max_ttl": "1h"})
        yield vault


def token_file(vault: Vault, path: Path, hcl: str, **more: object) -> str:
    vault.policy("least", hcl)
    path.write_text(vault.token("least", no_default_policy=True, **more))
    path.chmod(0o600)
    return str(path)


def refused(client: Client, token: str, file: str, path: str) -> bool:
    """Whether Vault says 403 to what consul_kam does there; that there is no such role, or lease, is another matter."""
    ways: dict[str, Callable[[], object]] = {
        "pki/issue/kamailio": lambda: client.give("pki/issue/kamailio", token, {"common_name": "a"}),
        "sys/leases/renew": lambda: client.renew("consul/creds/node/none", token),
        "sys/leases/revoke": lambda: client.revoke("consul/creds/node/none", token),
        "auth/token/renew-self": lambda: client.prolong(token),
        "auth/token/lookup-self": lambda: client.log_in(How("token", "token", token_file=file)),
    }
    try:
        ways.get(path, lambda: client.give(path.replace("*", "api"), token))()
    except VaultRefused as error:
        return error.code == 403
    return False


@pytest.mark.parametrize("path", PATHS)
def test_each_rule_is_needed(vault: Vault, tmp_path: Path, path: str) -> None:
    client = Client(vault.address, str(vault.ca_file))
    file = token_file(vault, tmp_path / "all", HCL)
    assert not refused(client, Path(file).read_text(), file, path)
    without = RULE.sub(lambda rule: "" if rule[1] == path else rule[0], HCL)
    file = token_file(vault, tmp_path / "less", without)
    assert refused(client, Path(file).read_text(), file, path)


def test_it_is_enough(vault: Vault, tmp_path: Path) -> None:
    """Login and lease of LIFE are renewed, and the lease is revoked at the end."""
    assert len(PATHS) == 8
    file = token_file(vault, tmp_path / "token", HCL, ttl=f"{LIFE}s", explicit_max_ttl="10m")
    with SecretNode(tmp_path / "node", vault, f"token_file = {quoted(file)}\n", SECRETS) as node:
        node.good("api", "consul", "tls")
        node.until("renewals", lambda: node.secret("consul")["renewals"] >= 2, 4 * LIFE)
        node.until("a login that lives on", lambda: node.told()["login_expires_in"] > LIFE / 2)
        assert node.told()["troubles"] == []
        assert len(node.events("logged in to Vault")) == 1
        node.configure(f"token_file = {quoted(file)}\n", "")
        node.hup()
        node.until("its lease revoked", lambda: vault.leases("consul/creds/node") == [])
        assert "cannot" not in node.log.read_text().replace("cannot ping", "").replace("cannot reach Consul", "")
