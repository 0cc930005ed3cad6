"""The keys of `[vault]`, `[vault.auth]` and `[vault.secrets.NAME]`, and what they come to: core.secret.Want."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from consul_kam.core.secret import HOLE, KV, PKI, Want
from consul_kam.errors import ConfigError
from consul_kam.settings.schema import MOUNT, TEXT, URL, VAULT_PATH, Keys, Line, Meta, convert, doc, replace
from consul_kam.settings.schema import Path as PathText

ADDRESS = "https://127.0.0.1:8200"
DIRECTORY = "/run/consul_kam/secrets"
JWT = "/var/run/secrets/kubernetes.io/serviceaccount/token"
"""Where Kubernetes mounts it [Kubernetes, "Configure Service Accounts for Pods"]."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
Names = list[Annotated[str, Meta(pattern=TEXT, min_length=1)]]


class Auth(Keys, frozen=True):
    """How we log in to Vault, see [Vault](vault.md). Nothing secret stands here: only files that hold it."""

    method: Annotated[
        Literal["token", "approle", "cert", "kubernetes"],
        doc("`token`: one from a file; `approle`; `cert`: by the `cert_file` of `[vault]`; `kubernetes`: by a JWT."),
    ] = "token"
    mount: Annotated[
        str, Meta(pattern=MOUNT), doc("Where the method is mounted, below `auth/`.", "the method's name")
    ] = ""
    role: Annotated[
        Line, doc("Role to log in with; needed with `kubernetes`; with `cert` any that fits where it is empty.")
    ] = ""
    token_file: Annotated[PathText, doc("With `token`: the token, mode 0600; read again when another is needed.")] = ""
    role_id_file: Annotated[PathText, doc("With `approle`: the role ID, mode 0600.")] = ""
    secret_id_file: Annotated[
        PathText, doc("With `approle`: the secret ID, mode 0600; none where the role asks for none.")
    ] = ""
    jwt_file: Annotated[PathText, doc("With `kubernetes`: the service account's token.")] = JWT


class Vault(Keys, frozen=True):
    """Secrets from HashiCorp Vault, see [Vault](vault.md). On where the table is there; else nobody asks Vault."""

    address: Annotated[
        str,
        Meta(pattern=URL),
        doc("URL of Vault; `http://` only to this machine.", f"$VAULT_ADDR, else {ADDRESS}"),
    ] = ""
    ca_file: Annotated[PathText, doc("PEM file of the CA that signed Vault's certificate.", "the system's")] = ""
    cert_file: Annotated[PathText, doc("Client certificate for Vault; its key in `key_file`.")] = ""
    key_file: Annotated[PathText, doc("Key of `cert_file`, mode 0600.")] = ""
    namespace: Annotated[Line, doc("Vault's namespace (Enterprise).")] = ""
    directory: Annotated[
        PathText,
        Meta(min_length=1),
        doc("Where secrets are files: mode 0700, on tmpfs or ramfs, or else nothing is written."),
    ] = DIRECTORY
    on_expiry: Annotated[
        Literal["keep", "stop"],
        doc(
            "What becomes of a secret whose lease has ended while Vault gives no other: `keep` leaves its files, "
            "loudly; `stop` removes them, and the node is not ready."
        ),
    ] = "keep"
    auth: Auth = Auth()


class Secret(Keys, frozen=True):
    """One secret; NAME: of `a-z 0-9 _`, 32 at most. Its fields are files in `directory`/NAME."""

    kind: Annotated[
        Literal["kv", "database", "consul", "pki"],
        doc(
            "`kv` (version 2): a file for each key; `database`: `username`, `password`; `consul`: `token`; `pki`: "
            "`certificate.pem` (with chain), `key.pem`, `ca.pem`, and `bundle.pem` (certificate, chain and key)."
        ),
    ]
    path: Annotated[
        str,
        Meta(pattern=VAULT_PATH),
        doc("Vault's path: `MOUNT/data/NAME`, `MOUNT/creds/ROLE`, `MOUNT/issue/ROLE`."),
    ]
    every: Annotated[float, Meta(ge=0.5, le=86_400), doc("With `kv`: how often it is read, s.")] = 30.0
    common_name: Annotated[Line, doc("With `pki`, needed there: the certificate's name.")] = ""
    alt_names: Annotated[Names, doc("With `pki`: further names.")] = []
    ip_sans: Annotated[Names, doc("With `pki`: IP addresses.")] = []
    ttl: Annotated[
        float, Meta(ge=0, le=10 * 365 * 86_400), doc("With `pki`: life of a certificate, s; 0: as its role says.")
    ] = 0.0
    text: Annotated[
        Line,
        doc(
            "One more field, `text`, made of others: `postgres://{username}:{password}@127.0.0.1/kamailio`. In a URI "
            "each value is percent-encoded, but for `{password!raw}`: Kamailio decodes no database URL."
        ),
    ] = ""


NOBODY = Auth()


@dataclass(frozen=True)
class VaultSettings:
    """`[vault]`, complete. `on`: whether there is one."""

    on: bool = False
    address: str = ADDRESS
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    namespace: str = ""
    directory: Path = Path(DIRECTORY)
    on_expiry: Literal["keep", "stop"] = "keep"
    auth: Auth = NOBODY
    secrets: tuple[Want, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Those that nobody else may read, by which we log in."""
        found = (self.key_file, self.auth.token_file, self.auth.role_id_file, self.auth.secret_id_file)
        return tuple(filter(None, found))


def complete(
    given: Vault, raw: Mapping[str, object], on: bool, environ: Mapping[str, str], source: str
) -> VaultSettings:
    """`raw`: the tables of `[vault.secrets]`. Raises ConfigError."""
    if not on:
        return VaultSettings()
    address = given.address or environ.get("VAULT_ADDR") or ADDRESS
    if not _confidential(address):
        where = f"cannot use {source}: vault.address"
        raise ConfigError(f"{where}: expected https://, or http:// to this machine, got {_shown(address)!r}")
    if bool(given.cert_file) != bool(given.key_file):
        raise ConfigError(f"cannot use {source}: vault.key_file: expected it together with cert_file")
    return VaultSettings(
        on=True,
        address=address.rstrip("/"),
        ca_file=given.ca_file,
        cert_file=given.cert_file,
        key_file=given.key_file,
        namespace=given.namespace,
        directory=Path(given.directory),
        on_expiry=given.on_expiry,
        auth=_auth(given, source),
        secrets=tuple(_want(name, table, source) for name, table in raw.items()),
    )


_NEEDS = {"token": "token_file", "approle": "role_id_file", "kubernetes": "role"}
_OWN = {"token_file": "token", "role_id_file": "approle", "secret_id_file": "approle"}


def _auth(given: Vault, source: str) -> Auth:
    auth = given.auth
    where = f"cannot use {source}: vault.auth"
    needs = _NEEDS.get(auth.method, "")
    if needs and not getattr(auth, needs):
        raise ConfigError(f'{where}.{needs}: expected it with method = "{auth.method}"')
    if auth.method == "cert" and not given.cert_file:
        raise ConfigError(f'cannot use {source}: vault.cert_file: expected it with [vault.auth] method = "cert"')
    for key, method in _OWN.items():
        if getattr(auth, key) and auth.method != method:
            raise ConfigError(f'{where}.{key}: expected none with method = "{auth.method}"')
    return replace(auth, mount=auth.mount or auth.method)


_PKI = ("common_name", "alt_names", "ip_sans", "ttl")


def _want(name: str, raw: object, source: str) -> Want:
    where = f"cannot use {source}: vault.secrets.{name}"
    if NAME.fullmatch(name) is None:
        raise ConfigError(f"{where}: expected a name of small letters, digits and _, 32 at most")
    given = convert(raw, Secret, source, f"vault.secrets.{name}")

    def bad(key: str, expected: str) -> ConfigError:
        return ConfigError(f"{where}.{key}: expected {expected}, got {getattr(given, key)!r}")

    if given.kind == KV and "data" not in given.path.split("/")[1:-1]:
        raise bad("path", "MOUNT/data/NAME (KV version 2)")
    if given.kind == PKI and not given.common_name:
        raise bad("common_name", 'a name with kind = "pki"')
    strange = next((key for key in _PKI if given.kind != PKI and getattr(given, key)), "")
    if strange:
        raise bad(strange, f'none with kind = "{given.kind}"')
    if not all(map(_is_address, given.ip_sans)):
        raise bad("ip_sans", "IP addresses")
    if any("," in each for each in given.alt_names):
        raise bad("alt_names", "one name each")
    if set("{}") & set(HOLE.sub("", given.text)):
        raise bad("text", "{ and } around the name of a field only")
    return Want(
        name=name,
        kind=given.kind,
        path=given.path,
        every=given.every,
        text=given.text,
        common_name=given.common_name,
        alt_names=tuple(given.alt_names),
        ip_sans=tuple(given.ip_sans),
        ttl=given.ttl,
    )


def _confidential(address: str) -> bool:
    """What Vault gives crosses no wire in the clear."""
    try:
        url = urlsplit(address)
        host, _ = url.hostname or "", url.port
    except ValueError:
        return False
    if not host or url.username or url.password:
        return False
    return url.scheme == "https" or (url.scheme == "http" and (host == "localhost" or _is_loopback(host)))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_loopback


def _shown(address: str) -> Any:
    return re.sub(r"//.*@", "//...@", address)
