"""Ports for the lab's servers."""

import random
import socket

_taken: set[int] = set()


def free_port() -> int:
    """A loopback port that is free for UDP and TCP, never given twice by this process.

    Below the kernel's ephemeral range, so that no outgoing connection takes it meanwhile.
    """
    while True:
        port = random.SystemRandom().randrange(11_000, 32_000)
        if port not in _taken and is_free(port):
            _taken.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a loopback port is free for UDP and TCP."""
    return _free(port, socket.SOCK_STREAM) and _free(port, socket.SOCK_DGRAM)


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
