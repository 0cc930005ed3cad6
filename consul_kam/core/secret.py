"""What is asked of Vault for a secret, and the files that an answer becomes."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from consul_kam.core.certificate import NoCertificate, blocks, read
from consul_kam.errors import VaultError

KV, DATABASE, CONSUL, PKI = "kv", "database", "consul", "pki"
TEXT = "text"
"""The field that is made of the others."""
FIELD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
"""A field is a file."""
MOST, LARGEST = 64, 2**20
"""Fields of a secret, and bytes of them all."""
LATEST = 10**11
"""Seconds since 1970."""
HOLE = re.compile(r"\{([A-Za-z0-9_][A-Za-z0-9._-]{0,63})(!raw)?\}")
"""In `text`: the place of a field; `raw`: as it is, in a URI too."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class Want:
    """`[vault.secrets.NAME]`, complete. `every`: seconds, of `kv`; `ttl`: seconds, of `pki`, 0: as its role says."""

    name: str
    kind: str
    path: str
    every: float = 30.0
    text: str = ""
    common_name: str = ""
    alt_names: tuple[str, ...] = ()
    ip_sans: tuple[str, ...] = ()
    ttl: float = 0.0

    @property
    def digest(self) -> str:
        """Of all that its files depend on."""
        told = (self.kind, self.path, self.text, self.common_name, self.alt_names, self.ip_sans, self.ttl)
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def again(self) -> float | None:
        """How often it is read, s; None: when its lease says."""
        return self.every if self.kind == KV else None

    @property
    def body(self) -> dict[str, Any] | None:
        """What is written to `path`; None: it is read."""
        if self.kind != PKI:
            return None
        lists = {"alt_names": ",".join(self.alt_names), "ip_sans": ",".join(self.ip_sans)}
        found = {"common_name": self.common_name, **{key: value for key, value in lists.items() if value}}
        return {**found, "ttl": f"{int(self.ttl)}s"} if self.ttl else found


@dataclass(frozen=True, slots=True)
class Made:
    """`files`: field -> content. `expires`: of a certificate, seconds since 1970; 0: as its lease. `lasts`: seconds, of
    a certificate from its beginning to its end. `left_out`: fields that cannot be files."""

    files: Mapping[str, bytes]
    version: int = 0
    expires: float = 0.0
    serial: str = ""
    left_out: tuple[str, ...] = ()
    lasts: float = math.inf

    @property
    def digest(self) -> str:
        """Of the fields, in no order."""
        each = [f"{name}={hashlib.sha256(content).hexdigest()}" for name, content in sorted(self.files.items())]
        return hashlib.sha256("\n".join(each).encode()).hexdigest()

    def __repr__(self) -> str:
        return f"Made({', '.join(self.files)})"


def make(want: Want, data: object) -> Made:
    """`data`: of Vault's answer. Raises VaultError, which shows nothing of it."""
    if not isinstance(data, dict):
        raise VaultError(f"cannot use {want.path}: Vault's answer has no data")
    try:
        made = _kv(want, data) if want.kind == KV else _PLAIN[want.kind](want, data)
    except (ValueError, RecursionError):  # half a surrogate pair; what is nested deeper than it can be written
        raise VaultError(f"cannot use {want.path}: Vault's answer cannot be written down as text") from None
    files = dict(made.files)
    if want.text:
        files[TEXT] = _text(want, files).encode("utf-8", "surrogatepass")
    if len(files) > MOST or sum(map(len, files.values())) > LARGEST:
        raise VaultError(f"cannot use {want.path}: it has more than {MOST} fields or {LARGEST} bytes")
    return replace(made, files=files)


def _kv(want: Want, data: Mapping[str, Any]) -> Made:
    """KV version 2 [Vault API, "KV Secrets Engine - Version 2", read]."""
    inner, about = data.get("data"), data.get("metadata")
    if not isinstance(about, dict) or not isinstance(about.get("version"), int):
        raise VaultError(f"cannot use {want.path}: expected a secret of KV version 2, its path as in secret/data/NAME")
    if not isinstance(inner, dict):
        raise VaultError(f"cannot use {want.path}: its version {about['version']} is deleted")
    files = {key: _plain(value) for key, value in inner.items() if FIELD.fullmatch(key)}
    return Made(files, about["version"], left_out=tuple(sorted(set(inner) - set(files))))


def _plain(value: object) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "surrogatepass")


def _fields(want: Want, data: Mapping[str, Any], *names: str) -> dict[str, str]:
    found = {name: data.get(name) for name in names}
    for name, value in found.items():
        if not isinstance(value, str) or not value:
            raise VaultError(f"cannot use {want.path}: Vault's answer has no {name}")
    return {name: str(value) for name, value in found.items()}


def _database(want: Want, data: Mapping[str, Any]) -> Made:
    return Made({name: value.encode() for name, value in _fields(want, data, "username", "password").items()})


def _consul(want: Want, data: Mapping[str, Any]) -> Made:
    return Made({"token": _fields(want, data, "token")["token"].encode()})


def _pki(want: Want, data: Mapping[str, Any]) -> Made:
    """[Vault API, "PKI secrets engine", generate certificate and key]"""
    found = _fields(want, data, "certificate", "private_key", "issuing_ca", "serial_number")
    chain, expires = data.get("ca_chain") or [found["issuing_ca"]], data.get("expiration")
    if not isinstance(chain, list) or not all(isinstance(each, str) for each in chain):
        raise VaultError(f"cannot use {want.path}: Vault's answer has no ca_chain")
    if not isinstance(expires, int) or not 0 < expires < LATEST:
        raise VaultError(f"cannot use {want.path}: Vault's answer has no expiration")
    authority = "".join(map(_pem, chain))
    certificate, key = _pem(found["certificate"]) + authority, _pem(found["private_key"])
    files = {"certificate.pem": certificate, "key.pem": key, "ca.pem": authority, "bundle.pem": certificate + key}
    texts = {name: text.encode() for name, text in files.items()}
    lasts = _lasts(texts["certificate.pem"])
    return Made(texts, expires=float(expires), serial=found["serial_number"], lasts=lasts)


def _lasts(pem: bytes) -> float:
    """From its beginning to its end, in s; of one that we cannot read we know only what Vault says."""
    try:
        leaf = read(blocks(pem)[0])
    except NoCertificate:
        return math.inf
    return leaf.ends - leaf.begins


def _pem(text: str) -> str:
    return text.strip() + "\n"


_PLAIN = {DATABASE: _database, CONSUL: _consul, PKI: _pki}


def _text(want: Want, files: Mapping[str, bytes]) -> str:
    """With each {FIELD} replaced; percent-encoded in a URI, where a password may hold any of its delimiters.

    Not with {FIELD!raw}: Kamailio decodes no database URL, and ends a password at the last @ [srdb1/db_id.c].
    """
    lacks = sorted({name for name, _ in HOLE.findall(want.text) if name not in files})
    if lacks:
        raise VaultError(f"cannot use {want.path}: it has no {', '.join(lacks)}, which `text` of {want.name} names")
    uri = bool(_SCHEME.match(want.text))

    def fill(found: re.Match[str]) -> str:
        value = files[found[1]].decode("utf-8", "surrogatepass")
        return quote(value, safe="", errors="surrogatepass") if uri and not found[2] else value

    return HOLE.sub(fill, want.text)
