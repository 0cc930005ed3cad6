"""The four ways to log in, each against a real Vault; Kubernetes' TokenReview is answered by a stub."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.vault import How
from consul_kam.adapters.vault import Vault as Client
from consul_kam.errors import ConfigError, VaultAway, VaultForgot, VaultRefused
from tests.lab.engine import ROOT
from tests.lab.ports import free_port
from tests.lab.tls import Authority
from tests.lab.token_review import TokenReviewStub, jwt
from tests.lab.vault import Vault

pytestmark = pytest.mark.vault
READS = 'path "secret/data/api" { capabilities = ["read"] }'


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with Vault(tmp_path_factory.mktemp("vault")) as vault:
        vault.mount("kv", "secret", version="2")
        vault.kv("api", {"key": "canary"})
        vault.policy("reads", READS)
        yield vault


@pytest.fixture
def client(vault: Vault) -> Iterator[Client]:
    client = Client(vault.address, str(vault.ca_file))
    yield client
    client.close()


def closed(path: Path, text: str) -> str:
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


def reads(client: Client, token: str) -> bool:
    data = client.give("secret/data/api", token).data
    return bool(data["data"] == {"key": "canary"} and data["metadata"]["version"] == 1)


def test_a_token_from_a_file(vault: Vault, client: Client, tmp_path: Path) -> None:
    token = vault.token("reads", ttl="1h")
    how = How("token", "token", token_file=closed(tmp_path / "token", token))
    entry = client.log_in(how)
    assert (entry.token, entry.renewable) == (token, True)
    assert 3500 < entry.seconds <= 3600
    assert token not in repr(entry)
    assert reads(client, entry.token)
    assert client.prolong(entry.token).id == entry.id
    root = client.log_in(How("token", "token", token_file=closed(tmp_path / "root", vault.root)))
    assert (root.seconds, root.renewable) == (0, False)
    vault.ask("PUT", "auth/token/revoke", {"token": token})
    with pytest.raises(VaultForgot, match=r"cannot use the token at .*: 403 "):
        client.log_in(how)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        client.log_in(how)
    for text in ("", "two words", "é"):
        with pytest.raises(ConfigError, match="expected one word of ASCII"):
            client.log_in(How("token", "token", token_file=closed(tmp_path / "odd", text)))


def test_approle(vault: Vault, client: Client, tmp_path: Path) -> None:
    vault.auth("approle")
    role, secret = vault.approle("node", "reads", token_ttl="20m")
    files = {
        "role_id_file": closed(tmp_path / "role", role),
        "secret_id_file": closed(tmp_path / "secret", secret),
    }
    entry = client.log_in(How("approle", "approle", **files))
    assert (entry.seconds, entry.renewable) == (1200, True)
    assert reads(client, entry.token)
    vault.ask(
        "PUT",
        "auth/approle/role/free",
        {"token_policies": ["reads"], "bind_secret_id": False, "token_bound_cidrs": ["127.0.0.1/32"]},
    )
    free = vault.ask("GET", "auth/approle/role/free/role-id")["data"]["role_id"]
    assert reads(client, client.log_in(How("approle", "approle", role_id_file=closed(tmp_path / "free", free))).token)
    closed(tmp_path / "secret", "00000000-0000-0000-0000-000000000000")
    with pytest.raises(VaultRefused, match=r"cannot log in to auth/approle at .*: 400 invalid role or secret ID"):
        client.log_in(How("approle", "approle", **files))
    with pytest.raises(VaultRefused, match="cannot log in to auth/elsewhere"):
        client.log_in(How("approle", "elsewhere", **files))
    with pytest.raises(ConfigError, match=r"cannot read vault.auth.role_id_file /none: No such file"):
        client.log_in(How("approle", "approle", role_id_file="/none"))


def test_a_batch_token(vault: Vault, client: Client, tmp_path: Path) -> None:
    vault.ask("POST", "sys/auth/batch", {"type": "approle"})
    vault.ask("PUT", "auth/batch/role/node", {"token_policies": ["reads"], "token_type": "batch", "token_ttl": "1m"})
    role = vault.ask("GET", "auth/batch/role/node/role-id")["data"]["role_id"]
    secret = vault.ask("PUT", "auth/batch/role/node/secret-id", {})["data"]["secret_id"]
    files = {"role_id_file": closed(tmp_path / "r", role), "secret_id_file": closed(tmp_path / "s", secret)}
    one, two = (client.log_in(How("approle", "batch", **files)) for _ in range(2))
    assert (one.seconds, one.renewable) == (60, False)
    assert one.id != two.id
    assert one.token not in one.id
    assert reads(client, one.token)


def test_a_tls_certificate(vault: Vault, tmp_path: Path) -> None:
    trusted, strange = (Authority(tmp_path / name) for name in ("trusted", "strange"))
    pairs = {}
    for authority in (trusted, strange):
        place = tmp_path / f"of-{authority.certificate.parent.name}"
        place.mkdir()
        certificate, key = authority.issue(place, "DNS:node-1")
        pairs[authority] = str(certificate), str(key)
    vault.auth("cert")
    vault.ask(
        "POST",
        "auth/cert/certs/node",
        {"certificate": trusted.certificate.read_text(), "token_policies": ["reads"], "token_ttl": "10m"},
    )
    client = Client(vault.address, str(vault.ca_file), pairs[trusted])
    for role in ("", "node"):
        entry = client.log_in(How("cert", "cert", role=role))
        assert entry.seconds == 600
        assert reads(client, entry.token)
    with pytest.raises(VaultRefused, match=r"cannot log in to auth/cert at .*: 400"):
        Client(vault.address, str(vault.ca_file), pairs[strange]).log_in(How("cert", "cert"))
    with pytest.raises(VaultAway, match=r"cannot reach Vault at .*: "):
        Client(vault.address, str(vault.ca_file), ("/none", "/none")).log_in(How("cert", "cert"))


def test_kubernetes(vault: Vault, client: Client, tmp_path: Path) -> None:
    token = jwt()
    (tmp_path / "jwt").write_text(token)
    how = How("kubernetes", "kubernetes", role="node", jwt_file=str(tmp_path / "jwt"))
    with TokenReviewStub() as stub:
        vault.auth("kubernetes")
        vault.ask(
            "POST",
            "auth/kubernetes/config",
            {"kubernetes_host": stub.address, "token_reviewer_jwt": jwt(account="vault"), "disable_local_ca_jwt": True},
        )
        vault.ask(
            "POST",
            "auth/kubernetes/role/node",
            {
                "bound_service_account_names": ["kamailio"],
                "bound_service_account_namespaces": ["voice"],
                "token_policies": ["reads"],
                "token_ttl": "5m",
            },
        )
        with pytest.raises(VaultRefused, match=r"cannot log in to auth/kubernetes at .*: 403"):
            client.log_in(how)
        stub.good[token] = ("voice", "kamailio")
        entry = client.log_in(how)
        assert stub.asked == 2
        assert entry.seconds == 300
        assert reads(client, entry.token)
    with pytest.raises(ConfigError, match=r"cannot read vault.auth.jwt_file /none"):
        client.log_in(how._replace(jwt_file="/none"))


ENVIRONMENT = """\
import os, sys
from consul_kam.adapters.vault import How, Vault
print(Vault({address!r}, {ca!r}).log_in(How("token", "token", token_file={token!r})).id)
"""


def test_nothing_of_the_environment_counts(vault: Vault, tmp_path: Path) -> None:
    token = vault.token("reads")
    (tmp_path / ".vault-token").write_text("of-the-home")
    closed(tmp_path / ".netrc", "machine 127.0.0.1 login canary password canary")
    wrong = Authority(tmp_path / "ca")
    hostile = {
        "VAULT_ADDR": f"http://127.0.0.1:{free_port()}",
        "VAULT_TOKEN": "of-the-environment",
        "VAULT_CACERT": str(wrong.certificate),
        "VAULT_CAPATH": str(tmp_path),
        "VAULT_CLIENT_CERT": "/none",
        "VAULT_CLIENT_KEY": "/none",
        "VAULT_NAMESPACE": "elsewhere",
        "VAULT_SKIP_VERIFY": "1",
        "REQUESTS_CA_BUNDLE": str(wrong.certificate),
        "CURL_CA_BUNDLE": str(wrong.certificate),
        "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}",
        "https_proxy": f"http://127.0.0.1:{free_port()}",
        "HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    text = ENVIRONMENT.format(address=vault.address, ca=str(vault.ca_file), token=closed(tmp_path / "token", token))
    argv = [sys.executable, "-c", text]
    done = subprocess.run(argv, env=os.environ | hostile, capture_output=True, text=True, check=False)
    told = vault.ask("GET", "auth/token/lookup-self", token=token)["data"]["accessor"]
    assert done.stdout.strip() == told, done.stderr


def test_another_certificate_authority_and_another_name(vault: Vault, tmp_path: Path) -> None:
    wrong = Authority(tmp_path / "ca")
    token = How("token", "token", token_file=closed(tmp_path / "token", vault.token("reads")))
    with pytest.raises(VaultAway, match=r"cannot reach Vault at .*certificate verify failed"):
        Client(vault.address, str(wrong.certificate)).log_in(token)
    with pytest.raises(VaultAway, match=r"cannot reach Vault at .*: "):
        Client(vault.address, "").log_in(token)
    with pytest.raises(VaultAway, match=r"cannot reach Vault at .*(mismatch|match)"):
        Client(vault.address.replace("127.0.0.1", "localhost"), str(vault.ca_file)).log_in(token)
    with pytest.raises(
        VaultAway, match=r"cannot reach Vault at .*: /none|cannot reach Vault .*No such file|invalid path"
    ):
        Client(vault.address, "/none").log_in(token)


def test_refusals_name_the_path_and_no_secret(vault: Vault, client: Client) -> None:
    token = vault.token("reads")
    with pytest.raises(VaultRefused, match=r"cannot read secret/data/other at .*: 403 ") as raised:
        client.give("secret/data/other", token)
    assert token not in str(raised.value)
    assert (raised.value.code, type(raised.value)) == (403, VaultRefused)
    with pytest.raises(VaultRefused, match=r"cannot read secret/data/none at .*: 404 there is nothing"):
        client.give("secret/data/none", vault.root)
    with pytest.raises(VaultRefused, match="cannot renew a lease of database/creds/k at "):
        client.renew("database/creds/k/canary", vault.root)
    with pytest.raises(VaultForgot):
        client.give("secret/data/api", "no-such-token")
