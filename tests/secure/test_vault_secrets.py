"""Secrets as files on tmpfs, from a real Vault, by a real engine."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, http
from tests.lab.engine import ROOT
from tests.lab.process import Process
from tests.lab.secret_node import SecretNode, quoted
from tests.lab.vault import LIFE, Vault

pytestmark = pytest.mark.vault
POLICY = """\
path "secret/data/*" { capabilities = ["read"] }
path "pki/issue/kamailio" { capabilities = ["update"] }
path "consul/creds/*" { capabilities = ["read"] }
path "sys/leases/revoke" { capabilities = ["update"] }
"""
API = """\
[vault.secrets.api]
kind = "kv"
path = "secret/data/api"
every = 0.5
text = "https://{user}:{password}@api.example.com/"
"""
TLS = """\
[vault.secrets.tls]
kind = "pki"
path = "pki/issue/kamailio"
common_name = "sip.example.com"
alt_names = ["example.com"]
ip_sans = ["127.0.0.1"]
ttl = TTL
"""


def consul_secret(role: str = "node") -> str:
    return f'[vault.secrets.consul]\nkind = "consul"\npath = "consul/creds/{role}"\n'


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    with Vault(tmp_path_factory.mktemp("vault")) as vault:
        vault.mount("kv", "secret", version="2")
        vault.auth("approle")
        vault.policy("node", POLICY)
        vault.pki()
        yield vault


@pytest.fixture
def auth(vault: Vault, tmp_path: Path) -> str:
    """Of [vault.auth]: an AppRole."""
    return approle(vault, tmp_path)


def approle(vault: Vault, directory: Path, **more: object) -> str:
    role, secret = vault.approle("node", "node", **more)
    for name, text in (("role", role), ("secret", secret)):
        (directory / name).write_text(text)
        (directory / name).chmod(0o600)
    return (
        f'method = "approle"\nrole_id_file = {quoted(directory / "role")}\n'
        f"secret_id_file = {quoted(directory / 'secret')}\n"
    )


def test_kv_follows_and_all_fields_change_together(vault: Vault, auth: str, tmp_path: Path) -> None:
    vault.kv("api", {"user": "one", "password": "p/1", "n": 5})
    with SecretNode(tmp_path / "node", vault, auth, API) as node:
        node.good("api")
        assert (node.field("api", "user"), node.field("api", "n")) == ("one", "5")
        assert node.field("api", "text") == "https://one:p%2F1@api.example.com/"
        assert node.rights() == {"0o700", "d0o700", "f0o600"}
        before = os.readlink(node.secrets / "api")
        vault.kv("api", {"user": "two", "password": "p2"})
        node.until("the new ones", lambda: node.secret("api")["generation"] == 2)
        assert node.field("api", "user") == "two"
        assert (node.secrets / before / "user").read_text() == "one", "old and new side by side"
        assert not (node.secrets / "api" / "n").exists()
        told = node.secret("api")
        assert (told["version"], told["generation"], told["expires_in"]) == (2, 2, None)
        again = vault.kv("api", {"user": "two", "password": "p2"})
        node.until("the same ones seen", lambda: node.secret("api")["version"] == again)
        assert node.secret("api")["generation"] == 2, "what is the same is no other generation"
        vault.kv("api", {"user": "three", "password": "p3"})
        node.until("the third", lambda: node.secret("api")["generation"] == 3)
        assert node.field("api", "user") == "three"
        node.until("the first gone", lambda: node.generations("api") == [2, 3])
        node.until("both told", lambda: [each["generation"] for each in node.events("secret changed")] == [2, 3])
        metrics = http.scrape(node.listen or "")
        assert http.value(metrics, "consul_kam_vault_up") == 1
        assert http.value(metrics, "consul_kam_secret_usable", secret="api") == 1
        assert http.value(metrics, "consul_kam_secret_expires_seconds", secret="api") is None


def test_a_certificate_is_renewed_in_time_and_always_fits_its_key(vault: Vault, auth: str, tmp_path: Path) -> None:
    with SecretNode(tmp_path / "node", vault, auth, TLS.replace("TTL", f"{LIFE}")) as node:
        node.good("tls")
        serials = set[str]()

        def third() -> bool:
            told = node.secret("tls")
            assert told["expires_in"] > 0
            serials.add(told["serial"])
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(node.secrets / "tls" / "bundle.pem")
            place = node.secrets / os.readlink(node.secrets / "tls")
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(place / "certificate.pem", place / "key.pem")
            return len(serials) >= 3

        node.until("two more certificates", third, 4 * LIFE)
        words = ["openssl", "verify", "-CAfile", str(node.secrets / "tls" / "ca.pem")]
        subprocess.run([*words, str(node.secrets / "tls" / "certificate.pem")], check=True, capture_output=True)
        metrics = http.scrape(node.listen or "")
        assert 0 < (http.value(metrics, "consul_kam_secret_expires_seconds", secret="tls") or 0) < LIFE
        assert (http.value(metrics, "consul_kam_secret_renewals_total", secret="tls") or 0) >= 2
        node.until("those that ended gone", lambda: len(node.generations("tls")) <= 2)


def test_a_restart_takes_up_what_is_there(vault: Vault, auth: str, tmp_path: Path) -> None:
    vault.kv("api", {"user": "one", "password": "p"})
    with SecretNode(tmp_path / "node", vault, auth, API + TLS.replace("TTL", "3600")) as node:
        node.good("api", "tls")
        serial, login = node.secret("tls")["serial"], (node.secrets / ".login.json").read_text()
        for end in (node.stop, node.kill9):
            end()
            node.start()
            node.until("KV read again", lambda: node.secret("api")["renewals"] > 1)
            node.good("api", "tls")
            assert (node.secret("tls")["serial"], node.secret("tls")["generation"]) == (serial, 1)
            assert (node.secrets / ".login.json").read_text() == login, "no other login"
            assert len(node.events("logged in to Vault")) == 1
        node.configure(auth, API + TLS.replace("TTL", "7200"))
        node.hup()
        node.until("another certificate", lambda: node.secret("tls")["serial"] not in ("", serial))
        node.configure(auth, API)
        node.hup()
        node.until("a secret that nobody wants gone", lambda: not list(node.secrets.glob("*tls*")))
        assert not list(node.secrets.glob(".tls*"))


def test_a_restart_while_vault_is_away_goes_on_with_what_is_there(vault: Vault, auth: str, tmp_path: Path) -> None:
    vault.kv("api", {"user": "one", "password": "p"})
    with SecretNode(tmp_path / "node", vault, auth, API + TLS.replace("TTL", "3600")) as node:
        node.good("api", "tls")
        node.stop()
        vault.seal()
        node.start()
        try:
            node.until("secrets that are late", lambda: not node.told()["reachable"])
            assert {each["state"] for each in node.told()["secrets"]} <= {"good", "late"}
            assert node.field("api", "user") == "one"
            assert "503" in node.told()["troubles"][0]
        finally:
            vault.unseal()
        node.until("Vault answers again", lambda: node.told()["reachable"])
        assert node.secret("tls")["generation"] == 1


@pytest.fixture(scope="module")
def consul(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsulAgent]:
    """With ACLs, and Vault's engine that makes its tokens."""
    with ConsulAgent(tmp_path_factory.mktemp("consul"), acl=True) as consul:
        consul.ask("PUT", "/v1/acl/policy", {"Name": "node", "Rules": 'key_prefix "x/" { policy = "read" }'})
        vault.mount("consul")
        vault.ask("PUT", "consul/config/access", {"address": consul.address, "token": consul.token})
        for role, ttl, most in (("node", f"{LIFE}s", f"{LIFE}s"), ("long", f"{LIFE}s", "1h")):
            body = {"consul_policies": ["node"], "ttl": ttl, "max_ttl": most}
            vault.ask("PUT", f"consul/roles/{role}", body)
        yield consul


def test_consuls_token_is_replaced_before_its_lease_ends(
    vault: Vault, consul: ConsulAgent, auth: str, tmp_path: Path
) -> None:
    """Its lease cannot be renewed beyond LIFE."""

    def works(token: str) -> bool:
        return consul.request("GET", "/v1/kv/x/?keys", token=token)[0] in (200, 404)

    with SecretNode(tmp_path / "node", vault, auth, consul_secret()) as node:
        node.good("consul")
        tokens: list[str] = []

        def rotated() -> bool:
            now = node.field("consul", "token")
            if now not in tokens:
                tokens.append(now)
            assert works(now), (tokens, consul.request("GET", "/v1/kv/x/?keys", token=now))
            return len(tokens) == 3

        node.until("two other tokens", rotated, 4 * LIFE)
        assert node.secret("consul")["state"] == "good"
        node.until("the first dead", lambda: not works(tokens[0]))
        assert node.events("secret expired") == []


def test_a_lease_that_can_be_renewed_is(vault: Vault, consul: ConsulAgent, auth: str, tmp_path: Path) -> None:
    with SecretNode(tmp_path / "node", vault, auth, consul_secret("long")) as node:
        node.good("consul")
        token = node.field("consul", "token")
        node.until("two renewals", lambda: node.secret("consul")["renewals"] >= 2, 4 * LIFE)
        assert node.field("consul", "token") == token
        assert node.secret("consul")["generation"] == 1
        assert len(vault.leases("consul/creds/long")) == 1
        node.configure(auth, "")
        node.hup()
        node.until("its lease revoked", lambda: vault.leases("consul/creds/long") == [])


def test_another_login_takes_its_leases_along(vault: Vault, consul: ConsulAgent, tmp_path: Path) -> None:
    """A token of LIFE at most: what it asked for would end with it."""
    auth = approle(vault, tmp_path, token_ttl=f"{LIFE}s", token_max_ttl=f"{LIFE}s")
    with SecretNode(tmp_path / "node", vault, auth, consul_secret("long")) as node:
        node.good("consul")
        logins = lambda: len(node.events("logged in to Vault"))  # noqa: E731

        def third() -> bool:
            token = node.field("consul", "token")
            assert consul.request("GET", "/v1/kv/x/?keys", token=token)[0] == 404
            return logins() >= 3 and node.secret("consul")["generation"] >= 3

        node.until("two other logins, and what each asked for", third, 5 * LIFE)
        node.good("consul")
        assert node.events("secret expired") == []


def test_a_token_that_was_revoked_and_one_that_was_swapped(vault: Vault, tmp_path: Path) -> None:
    vault.kv("api", {"user": "one", "password": "p"})
    path = tmp_path / "token"

    def put(token: str) -> str:
        (tmp_path / "new").write_text(token)
        (tmp_path / "new").chmod(0o600)
        (tmp_path / "new").rename(path)
        return token

    first = put(vault.token("node"))
    with SecretNode(tmp_path / "node", vault, f"token_file = {quoted(path)}\n", API) as node:
        node.good("api")
        put(vault.token("node"))
        node.until("another login", lambda: len(node.events("logged in to Vault")) == 2)
        vault.ask("PUT", "auth/token/revoke", {"token": first})
        vault.ask("PUT", "auth/token/revoke", {"token": path.read_text()})
        node.until("nobody in", lambda: any("cannot use the token" in line for line in node.told()["troubles"]))
        assert node.field("api", "user") == "one"
        put(vault.token("node"))
        node.good("api")
        node.until("in again", lambda: node.told()["logged_in"] and not node.told()["troubles"])


def test_what_is_refused_is_said_and_the_rest_goes_on(vault: Vault, auth: str, tmp_path: Path) -> None:
    vault.kv("api", {"user": "one", "password": "p"})
    more = '[vault.secrets.other]\nkind = "kv"\npath = "other/data/x"\n'
    more += '[vault.secrets.none]\nkind = "kv"\npath = "secret/data/none"\n'
    with SecretNode(tmp_path / "node", vault, auth, API + more, boot_timeout=9.0) as node:
        node.good("api")
        node.until("both refusals", lambda: node.secret("other")["failures"] and node.secret("none")["failures"])
        assert "cannot read other/data/x at " in node.secret("other")["trouble"]
        assert "403" in node.secret("other")["trouble"]
        assert "404 there is nothing" in node.secret("none")["trouble"]
        assert node.secret("other")["state"] == "waiting"
        reasons = http.readiness(node.listen or "")["reasons"]
        assert reasons["secrets"].startswith("other, none from Vault: cannot read")
        node.logged("going on without secrets from Vault: other, none did not come within 9 s")
        vault.kv("none", {"a": "b"})
        node.good("none")


def test_the_command_line_shows_no_value(vault: Vault, auth: str, tmp_path: Path) -> None:
    vault.kv("api", {"user": "one", "password": "canary-7"})
    with SecretNode(tmp_path / "node", vault, auth, API + TLS.replace("TTL", "3600")) as node:
        node.good("api", "tls")
        env = {**os.environ, **node.env}

        def said(*words: str) -> str:
            argv = [sys.executable, "-m", "consul_kam", *words]
            done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        listed = said("secrets")
        assert "api" in listed
        assert "pki" in listed
        told = json.loads(said("secrets", "--json"))
        assert [each["state"] for each in told["secrets"]] == ["good", "good"]
        all_ = listed + json.dumps(told) + said("status") + said("status", "--json") + said("config", "show")
        assert "secrets: 2 from Vault" in said("status")
        assert "canary-7" not in all_
        assert (node.secrets / ".login.json").read_text().split('"token": "')[1].split('"')[0] not in all_


def test_a_directory_that_is_on_a_disk_is_refused(vault: Vault, auth: str, tmp_path: Path) -> None:
    node = SecretNode(tmp_path / "node", vault, auth, API)
    node.secrets = tmp_path / "on-disk"
    node.configure(auth, API)
    process = Process([sys.executable, "-m", "consul_kam", "run"], node.log, env=node.env)
    assert process.wait(20) == 2
    assert f"cannot use vault.directory {node.secrets}: it is on a disk" in node.log.read_text()
    assert ROOT.is_dir()
