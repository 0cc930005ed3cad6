"""Where to listen: an address as the configuration writes it, and the socket that does."""

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass

from consul_kam.errors import ConsulKamError


class CannotListen(ConsulKamError):
    """Nobody can listen there, or somebody else does."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. `host`: an IP address."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """`127.0.0.1:9160`, `[::1]:9160`, `localhost:9160`; never a name that would have to be looked up.

    Raises CannotListen.
    """
    found = re.fullmatch(r"(\[[^\[\]]+\]|[^:\[\]]+):([0-9]{1,5})", text)
    host = found[1] if found is not None else ""
    if host.lower() == "localhost":
        host = "127.0.0.1"
    version = 6 if host.startswith("[") else 4
    try:
        given = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        given = None
    if found is None or given is None or given.version != version or not 1 <= int(found[2]) <= 65535:
        expected = "an IP address or localhost, and a port, as in 127.0.0.1:9160 or [::1]:9160"
        raise CannotListen(f"cannot listen at {text}: expected {expected}")
    return Address(str(given), int(found[2]))


def listening(where: Address, backlog: int) -> socket.socket:
    """A socket that listens there, and does not block. Raises CannotListen."""
    listener = socket.socket(socket.AF_INET6 if ":" in where.host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:  # [::] is what it says, and not 0.0.0.0 besides
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((where.host, where.port))
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another program does" if taken else error.strerror or str(error)
        raise CannotListen(f'cannot listen at {where}: {why}; set [http] listen, or "" for nowhere') from None
    listener.setblocking(False)
    return listener
