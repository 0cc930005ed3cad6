"""One engine per Kamailio. The lock ends with the process, however it ends.

The state directory has a lock of its own, beside the control socket.
"""

import hashlib
import os
import socket

from consul_kam.errors import ConfigError


class KamailioLock:
    """An abstract unix socket (unix(7)) named after the RPC address.

    It keeps out engines with other state directories in the same network namespace. Engines in several containers have
    to share the state directory instead.
    """

    def __init__(self, rpc: str) -> None:
        """Raises ConfigError where another engine holds it."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(abstract_name(rpc))
        except OSError:
            self._socket.close()
            raise ConfigError(f"cannot start: another engine already writes to the Kamailio at {rpc}") from None

    def release(self) -> None:
        """Give it up."""
        self._socket.close()


def abstract_name(rpc: str) -> str:
    """The name of a Kamailio's lock: equal for every spelling of the same unix socket path."""
    kind, _, place = rpc.partition(":")
    address = f"{kind}:{os.path.realpath(place)}" if kind in ("unix", "fifo") else rpc
    return "\0consul_kam/" + hashlib.sha256(address.encode()).hexdigest()[:32]
