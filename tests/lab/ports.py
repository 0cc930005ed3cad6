"""Ports for the lab's servers."""

import os
import random
import socket

_FIRST, _LAST = map(int, os.environ.get("CONSUL_KAM_LAB_PORTS", "11000-32000").split("-"))
"""Two runs side by side are told to stay apart: what is free now is bound only later."""
_taken: set[int] = set()


def free_port() -> int:
    """A loopback port that is free for UDP and TCP, never given twice by this process.

    Below the kernel's ephemeral range, so that no outgoing connection takes it meanwhile.
    """
    while True:
        port = random.SystemRandom().randrange(_FIRST, _LAST)
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
