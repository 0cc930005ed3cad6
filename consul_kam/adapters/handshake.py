"""Which certificate a TLS server shows: proven, since by the handshake it showed to have the key as well."""

import contextlib
import hashlib
import socket
import ssl

from consul_kam.adapters import http_address
from consul_kam.adapters.identity import Identity, context
from consul_kam.errors import ConsulKamError


class NoHandshake(ConsulKamError):
    """Nobody is there, or he does not speak TLS with us."""


def shown(where: str, deadline: float, name: str = "", ours: Identity | None = None) -> str:
    """The fingerprint of its certificate, as Certificate has it. It may be any: who it is, the caller compares.

    `where`: IP:PORT. `name`: what we call it by (SNI). `ours`: shown to one that asks for a certificate. `deadline`: s,
    for connecting and for each step. Raises NoHandshake.
    """
    try:
        place = http_address.address(where)
        client = context(ours, server=False) if ours is not None else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((place.host, place.port), deadline) as connection,
            client.wrap_socket(connection, server_hostname=name or None) as secure,
        ):
            der = secure.getpeercert(binary_form=True) or b""
            with contextlib.suppress(OSError, ValueError):
                secure.unwrap()  # it is not to think that we broke off
            return hashlib.sha256(der).hexdigest()
    except (OSError, ValueError) as error:
        reason = "no answer in time" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or error
        raise NoHandshake(f"cannot shake hands with {where}: {reason}") from None
