"""`udp:HOST:PORT` and `tcp:HOST:PORT`, as the configuration writes them."""

import socket
from typing import Any, NamedTuple, Self


class Endpoint(NamedTuple):
    """Where somebody listens."""

    stream: bool
    """TCP, else UDP."""
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError for what settings/schema.py's ENDPOINT does not take either."""
        kind, _, rest = text.partition(":")
        host, _, port = rest.rpartition(":")
        if kind not in ("udp", "tcp") or not host:
            raise ValueError(f"expected udp:HOST:PORT or tcp:HOST:PORT, got {text!r}")
        return cls(kind == "tcp", host.removeprefix("[").removesuffix("]"), int(port))

    @property
    def kind(self) -> socket.SocketKind:
        return socket.SOCK_STREAM if self.stream else socket.SOCK_DGRAM

    @property
    def authority(self) -> str:
        """HOST:PORT as it stands in a URI."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def resolve(self) -> tuple[socket.AddressFamily, Any]:
        """Family and address of the first way there. A name has no deadline. Raises OSError."""
        family, _, _, _, address = socket.getaddrinfo(self.host, self.port, type=self.kind)[0]
        return family, address
