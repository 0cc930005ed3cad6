"""`[vault]`: what it comes to, and what is refused."""

from pathlib import Path

import pytest

from consul_kam.config import Settings, parse
from consul_kam.core.secret import Want
from consul_kam.errors import ConfigError

TOKEN = '[vault]\n{}\n[vault.auth]\ntoken_file = "/t"\n'
DB = '[vault.secrets.db]\nkind = "database"\npath = "database/creds/k"\n'
TLS = '[vault.secrets.tls]\nkind = "pki"\npath = "pki/issue/k"\ncommon_name = "a"\n'


def settings(text: str, **environ: str) -> Settings:
    return parse(text, "f.toml", {"HOME": "/", **environ})


def test_without_the_table_there_is_none_whatever_the_environment_says() -> None:
    assert not settings("", VAULT_ADDR="https://v:1").vault.on
    assert settings(TOKEN.format("")).vault.on


def test_the_address() -> None:
    text = TOKEN.format("")
    assert settings(text).vault.address == "https://127.0.0.1:8200"
    assert settings(text, VAULT_ADDR="https://v:1/").vault.address == "https://v:1"
    given = TOKEN.format('address = "http://[::1]:8200"')
    assert settings(given, VAULT_ADDR="https://v:1").vault.address == "http://[::1]:8200"
    assert settings(TOKEN.format('address = "http://localhost:8200"')).vault.on


def test_all_of_it() -> None:
    text = """
[vault]
namespace = "ns"
cert_file = "/c"
key_file = "/k"
ca_file = "/ca"
directory = "/run/x"
on_expiry = "stop"
[vault.auth]
method = "cert"
mount = "auth/tls"
role = "r"
[vault.secrets.api]
kind = "kv"
path = "secret/data/a/b"
every = 1.5
text = "{a}"
[vault.secrets.tls]
kind = "pki"
path = "pki/issue/k"
common_name = "sip.example.com"
alt_names = ["b"]
ip_sans = ["10.0.0.1", "::1"]
ttl = 3600
"""
    found = settings(text).vault
    assert (found.auth.mount, found.auth.role, found.namespace) == ("auth/tls", "r", "ns")
    assert (found.ca_file, found.cert_file, found.key_file) == ("/ca", "/c", "/k")
    assert found.files == ("/k",)
    assert (found.directory, found.on_expiry) == (Path("/run/x"), "stop")
    assert found.secrets == (
        Want("api", "kv", "secret/data/a/b", 1.5, "{a}"),
        Want(
            "tls",
            "pki",
            "pki/issue/k",
            common_name="sip.example.com",
            alt_names=("b",),
            ip_sans=("10.0.0.1", "::1"),
            ttl=3600.0,
        ),
    )
    assert settings(TOKEN.format("")).vault.auth.mount == "token"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("vault = 1", "vault: expected a table"),
        ("vault = {secrets = 1}", "vault.secrets: expected a table, got 1"),
        ("[vault]", 'vault.auth.token_file: expected it with method = "token"'),
        ('[vault.auth]\nmethod = "approle"', 'vault.auth.role_id_file: expected it with method = "approle"'),
        ('[vault.auth]\nmethod = "kubernetes"', 'vault.auth.role: expected it with method = "kubernetes"'),
        ('[vault.auth]\nmethod = "cert"', "vault.cert_file: expected it with"),
        ('[vault.auth]\nmethod = "ldap"', "vault.auth.method: expected one of approle, cert, kubernetes, token"),
        (
            '[vault.auth]\nmethod = "approle"\nrole_id_file = "/r"\ntoken_file = "/t"',
            'vault.auth.token_file: expected none with method = "approle"',
        ),
        ('[vault.auth]\ntoken_file = "t"', "vault.auth.token_file: expected an absolute path"),
        ('[vault.auth]\ntoken_file = "/t"\nmount = "../x"', "vault.auth.mount: expected letters"),
        (TOKEN.format('key_file = "/k"'), "vault.key_file: expected it together with cert_file"),
        (TOKEN.format('on_expiry = "x"'), "vault.on_expiry: expected one of keep, stop"),
        (TOKEN.format('directory = ""'), "vault.directory: expected an absolute path"),
        (TOKEN.format('adress = ""'), "vault.adress: expected one of"),
        *(
            (TOKEN.format(f'address = "{address}"'), "vault.address: expected ")
            for address in ("http://10.0.0.1:8200", "http://vault:8200", "https://", "https://v:x", "unix:///x")
        ),
        (TOKEN.format('address = "https://u:canary@v:1"'), "vault.address: expected https://, or http:// to this"),
        (TOKEN.format("") + DB.replace(".db", ".Db"), "vault.secrets.Db: expected a name of small letters"),
        (TOKEN.format("") + DB.replace(".db", '."../x"'), "vault.secrets.../x: expected a name"),
        (TOKEN.format("") + "[vault.secrets.x]\n", "vault.secrets.x"),
        (TOKEN.format("") + DB.replace("database/", "../"), "vault.secrets.db.path: expected a path of Vault's"),
        (TOKEN.format("") + DB.replace("database/creds", "/creds"), "vault.secrets.db.path: expected a path"),
        (TOKEN.format("") + DB + "ttl = 5", 'vault.secrets.db.ttl: expected none with kind = "database"'),
        (TOKEN.format("") + DB + 'text = "{user"', "vault.secrets.db.text: expected { and } around"),
        (TOKEN.format("") + DB.replace('"database"', '"kv"'), "vault.secrets.db.path: expected MOUNT/data/NAME"),
        (TOKEN.format("") + TLS.replace('"a"', '""'), "vault.secrets.tls.common_name: expected a name"),
        (TOKEN.format("") + TLS + 'ip_sans = ["x"]', "vault.secrets.tls.ip_sans: expected IP addresses, got ['x']"),
        (TOKEN.format("") + TLS + 'alt_names = ["a,b"]', "vault.secrets.tls.alt_names: expected one name each"),
        (TOKEN.format("") + TLS + "every = 0.1", "vault.secrets.tls.every: expected a number from 0.5"),
        (TOKEN.format("") + TLS.replace('"pki"', '"ssh"'), "vault.secrets.tls.kind: expected one of"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings(text)
    assert str(raised.value).startswith(f"cannot use f.toml: {says}")
    assert "canary" not in str(raised.value)
