"""Vault sealed, killed, hung or refusing, at boot and later: the last good secrets go on until their lease ends."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.lab import ConsulAgent, Lab, http, wait_for
from tests.lab.secret_node import SecretNode, quoted
from tests.lab.vault import Vault

pytestmark = pytest.mark.vault
KV = """\
[vault.secrets.api]
kind = "kv"
path = "secret/data/api"
every = 0.5
"""


def leased(role: str) -> str:
    return f'[vault.secrets.consul]\nkind = "consul"\npath = "consul/creds/{role}"\n'


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """With Consul's tokens: `short` lives 15 s, `long` 45 s."""
    with (
        Vault(tmp_path_factory.mktemp("vault")) as vault,
        ConsulAgent(tmp_path_factory.mktemp("consul"), acl=True) as consul,
    ):
        vault.mount("kv", "secret", version="2")
        vault.policy(
            "node",
            'path "secret/data/*" { capabilities = ["read"] }\npath "consul/creds/*" { capabilities = ["read"] }',
        )
        consul.ask("PUT", "/v1/acl/policy", {"Name": "node", "Rules": 'key_prefix "x/" { policy = "read" }'})
        vault.mount("consul")
        vault.ask("PUT", "consul/config/access", {"address": consul.address, "token": consul.token})
        for role, ttl in (("short", "15s"), ("long", "45s")):
            vault.ask("PUT", f"consul/roles/{role}", {"consul_policies": ["node"], "ttl": ttl, "max_ttl": ttl})
        vault.kv("api", {"key": "one"})
        yield vault


@pytest.fixture
def auth(vault: Vault, tmp_path: Path) -> str:
    (tmp_path / "token").write_text(vault.token("node", ttl="1h"))
    (tmp_path / "token").chmod(0o600)
    return f"token_file = {quoted(tmp_path / 'token')}\n"


def test_sealed_for_some_seconds_in_the_middle(vault: Vault, auth: str, tmp_path: Path) -> None:
    """A lease of 45 s outlives it, and is replaced before its end."""
    with SecretNode(tmp_path / "node", vault, auth, KV + leased("long")) as node:
        node.good("api", "consul")
        token = node.field("consul", "token")
        vault.seal()
        try:
            node.until("Vault seen sealed", lambda: not node.told()["reachable"])
            node.logged("secrets: cannot use Vault at ")
            assert "503" in node.told()["troubles"][0]
            assert http.value(http.scrape(node.listen or ""), "consul_kam_vault_up") == 0
            assert http.value(http.scrape(node.listen or ""), "consul_kam_secret_usable", secret="consul") == 1
            assert "secrets" not in http.readiness(node.listen or "")["reasons"], "what is good is good"
            assert (node.field("api", "key"), node.field("consul", "token")) == ("one", token)
            # two thirds of its life are over while nobody can renew it
            node.until("the last third", lambda: node.secret("consul")["expires_in"] < 14, 60)
            assert node.secret("consul")["state"] in ("good", "late")
        finally:
            vault.unseal()
        vault.kv("api", {"key": "two"})
        node.until("another token", lambda: node.field("consul", "token") != token)
        node.until("the new value", lambda: node.field("api", "key") == "two")
        assert node.events("secret expired") == []
        node.until("it told", lambda: node.events("Vault answers again"))
        node.good("api", "consul")


def test_killed_and_started_anew(vault: Vault, auth: str, tmp_path: Path) -> None:
    with SecretNode(tmp_path / "node", vault, auth, KV) as node:
        node.good("api")
        before = node.field("api", "key")
        vault.kill()
        # what was under way when it died is told first
        node.until("Vault seen away", lambda: "Connection refused" in "".join(node.told()["troubles"]))
        assert not node.told()["reachable"]
        assert node.field("api", "key") == before
        vault.run()
        node.until("Vault seen sealed", lambda: "503" in "".join(node.told()["troubles"]))
        vault.unseal()
        vault.kv("api", {"key": before + "+"})
        node.until("the new value", lambda: node.field("api", "key") == before + "+")


def test_one_that_hangs_holds_up_nothing(vault: Vault, auth: str, tmp_path: Path) -> None:
    with SecretNode(tmp_path / "node", vault, auth, KV) as node:
        node.good("api")
        vault.pause(True)
        try:
            node.until("nobody answers", lambda: "no answer within 10 s" in "".join(node.told()["troubles"]), 60)
        finally:
            vault.pause(False)
        node.until("it answers again", lambda: node.told()["reachable"], 60)


def test_expired_and_kept(vault: Vault, auth: str, tmp_path: Path) -> None:
    with SecretNode(tmp_path / "node", vault, auth, leased("short") + KV) as node:
        node.good("consul", "api")
        vault.seal()
        try:
            node.until("Vault seen sealed", lambda: not node.told()["reachable"])
            node.until("its end", lambda: node.secret("consul")["state"] == "expired")
            token = node.field("consul", "token")
            assert token, "kept"
            node.logged("secret consul has expired: it goes on being used; cannot use Vault at ")
            assert node.secret("consul")["expires_in"] < 0
            assert "secrets" not in http.readiness(node.listen or "")["reasons"]
            assert http.value(http.scrape(node.listen or ""), "consul_kam_secret_usable", secret="consul") == 0
            node.until("its entry", lambda: [each["removed"] for each in node.events("secret expired")] == [False])
            node.stop()
            node.start()
            node.until("still expired", lambda: node.secret("consul")["state"] == "expired")
            assert node.field("consul", "token") == token
        finally:
            vault.unseal()
        node.good("consul")
        assert node.field("consul", "token") != token


def test_expired_and_removed(vault: Vault, auth: str, tmp_path: Path) -> None:
    with SecretNode(tmp_path / "node", vault, auth, leased("short") + KV, vault_lines='on_expiry = "stop"') as node:
        node.good("consul", "api")
        vault.seal()
        try:
            node.until("Vault seen sealed", lambda: not node.told()["reachable"])
            node.until("its files gone", lambda: not (node.secrets / "consul").is_symlink())
            node.until("no generation", lambda: node.generations("consul") == [])
            node.logged("secret consul has expired: its files are removed; cannot use Vault at ")
            assert node.secret("consul")["state"] == "expired"
            assert http.readiness(node.listen or "")["reasons"]["secrets"].startswith("consul from Vault: cannot use ")
            assert node.field("api", "key"), "KV has no lease"
            assert node.secret("api")["state"] in ("good", "late")
        finally:
            vault.unseal()
        node.good("consul")
        assert node.field("consul", "token")
        assert "secrets" not in http.readiness(node.listen or "")["reasons"]


def test_sealed_at_boot(vault: Vault, auth: str, tmp_path: Path) -> None:
    """It goes on without after boot_timeout, says so, and takes what comes later."""
    vault.seal()
    try:
        node = SecretNode(tmp_path / "node", vault, auth, KV, boot_timeout=9.0)
        with node:
            node.logged("going on without secrets from Vault: api did not come within 9 s: cannot use Vault at ")
            assert node.secret("api")["state"] == "waiting"
            assert "api from Vault" in http.readiness(node.listen or "")["reasons"]["secrets"]
            vault.unseal()
            node.good("api")
            wait_for("the gate open", lambda: "secrets" not in http.readiness(node.listen or "")["reasons"], 10)
    finally:
        vault.unseal()


def test_it_ends_at_once_while_it_waits_for_secrets(vault: Vault, auth: str, tmp_path: Path) -> None:
    vault.seal()
    try:
        with SecretNode(tmp_path / "node", vault, auth, KV, boot_timeout=120.0) as node:
            node.until("it waits", lambda: not node.told()["reachable"])
            assert node.ask("status")["node"]["waits_for"].startswith("secrets: api from Vault: cannot use Vault at ")
            assert node.stop() == 0
    finally:
        vault.unseal()


def test_nothing_is_started_before_the_secrets_are_there(lab: Lab, vault: Vault, auth: str, tmp_path: Path) -> None:
    """Neither consul-template nor Kamailio; then both."""
    vault.seal()
    try:
        with TemporaryDirectory(dir="/dev/shm") as tmpfs:
            lines = f'[vault]\naddress = "{vault.address}"\nca_file = "{vault.ca_file}"\ndirectory = "{tmpfs}/s"\n'
            node = lab.node(
                lab.consul(),
                node_lines="boot_timeout = 120",
                more=f"{lines}[vault.auth]\n{auth}{KV}",
                dispatcher="min_records = 0",
            )
            node.logged("secrets: cannot use Vault at ")
            assert {node.process(name)["state"] for name in ("kamailio", "consul-template")} == {"STOPPED"}
            assert {node.process(name)["pid"] for name in ("kamailio", "consul-template")} == {None}
            vault.unseal()
            node.runs("consul-template")
            node.runs()
            assert (Path(tmpfs) / "s" / "api" / "key").exists()
    finally:
        vault.unseal()
