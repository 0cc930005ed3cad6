"""The keys of `[kamailio.tls]`; and what the three tables that name a certificate have to agree on."""

import ipaddress
from collections.abc import Mapping
from typing import Annotated, Literal, Protocol

from consul_kam.core import tls_cfg
from consul_kam.core.tls_cfg import NO
from consul_kam.errors import ConfigError
from consul_kam.settings.schema import LISTEN, TEXT, Deadline, Keys, Meta, Name, Path, ReadFile, doc

LONGEST_NAME = 253


class Tls(Keys, frozen=True):
    """Kamailio's certificate, see [TLS](tls.md). On where `cert_file` is given: it is followed, `tls.cfg` is written,
    Kamailio loads it by `tls.reload`, and a handshake proves it."""

    cert_file: Annotated[ReadFile, doc("Its certificate with the chain (PEM).", "off")] = ""
    key_file: Annotated[ReadFile, doc("Its key (PEM).", "`cert_file`, which then holds both")] = ""
    ca_file: Annotated[
        ReadFile, doc("Authorities that the certificates of others are checked with (PEM).", "others are not checked")
    ] = ""
    directory: Annotated[
        Path,
        Meta(min_length=1),
        doc(
            "Where `tls.cfg` and the copies that Kamailio reads are kept, ours alone but for `user`; on a tmpfs where "
            '`key_file` is on one. Kamailio needs `modparam("tls", "config", "DIRECTORY/tls.cfg")`.'
        ),
    ] = "/run/consul_kam/kamailio-tls"
    user: Annotated[
        Name, doc("Whom Kamailio runs as: he alone may read the copies, beside us.", "the same user as we")
    ] = ""
    connect: Annotated[
        str, Meta(pattern=LISTEN, min_length=1), doc("`IP:PORT` of Kamailio's TLS socket, for the handshake.")
    ] = "127.0.0.1:5061"
    names: Annotated[
        list[Annotated[str, Meta(pattern=TEXT, min_length=1)]],
        doc("DNS names and IP addresses that the certificate has to be good for; one that is not is not loaded."),
    ] = []
    clients: Annotated[
        Literal["no", "offered", "required"],
        doc("Of those who connect: no certificate; a good one where one is offered; a good one."),
    ] = "no"
    servers: Annotated[
        bool | None, doc("Whether those that Kamailio connects to must have a good one.", "where there is a `ca_file`")
    ] = None
    apply: Annotated[
        Literal["auto", "reload", "restart"],
        doc(
            "How a running Kamailio gets a new one. `reload`: by `tls.reload`; `restart`: it waits for the next "
            "restart, and `status` says so; `auto`: reload from 6.0 on, since before that a reload may cut connections "
            "that are up, or crash it."
        ),
    ] = "auto"
    gap: Annotated[
        float, Meta(ge=1, le=3600), doc("Least time between two reloads, s: each costs Kamailio memory for good.")
    ] = 5.0
    every: Annotated[float, Meta(ge=1, le=3600), doc("How often a handshake looks what Kamailio shows, s.")] = 30.0
    deadline: Annotated[Deadline, doc("How long a handshake may take, s.")] = 2.0


class Pair(Protocol):
    """A table that names a certificate."""

    @property
    def cert_file(self) -> str: ...
    @property
    def key_file(self) -> str: ...


def check(tls: Tls, consul: Pair, http: Pair, source: str) -> None:
    """Raises ConfigError."""
    tables: Mapping[str, Pair] = {"kamailio.tls": tls, "consul": consul, "http": http}
    for name, table in tables.items():
        if table.key_file and not table.cert_file:
            raise ConfigError(f"cannot use {source}: {name}.key_file: expected a cert_file too, got none")
    wrong = tls_cfg.why_not(f"{tls.directory}/{'0' * 16}/certificate.pem")
    if wrong:
        raise ConfigError(f"cannot use {source}: kamailio.tls.directory: {wrong}, got {tls.directory!r}")
    for name in tls.names:
        if not _is_name(name):
            where = f"cannot use {source}: kamailio.tls.names"
            raise ConfigError(f"{where}: expected DNS names and IP addresses, got {name!r}")
    host = tls.connect.rpartition(":")[0].strip("[]")
    try:
        ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        where = f"cannot use {source}: kamailio.tls.connect"
        raise ConfigError(f"{where}: expected an IP address and a port, got {tls.connect!r}") from None
    if not tls.ca_file and (tls.clients != NO or tls.servers):
        key = "servers" if tls.servers else "clients"
        raise ConfigError(f"cannot use {source}: kamailio.tls.{key}: expected a ca_file to check others with, got none")


def _is_name(text: str) -> bool:
    """Whether a handshake can ask for it: labels of 1 to 63 bytes, 253 in all [RFC 1035, 2.3.4]."""
    try:
        return len(text.encode("idna")) <= LONGEST_NAME
    except UnicodeError:
        return False
