"""sd_notify(3): what a service manager is told. Silent where nobody asked for it."""

import contextlib
import os
import socket
import time

LONGEST = 200
"""Characters of a STATUS; `systemctl status` shows one line."""


class Notifier:
    """`socket_path`: $NOTIFY_SOCKET, "" for none; `watchdog`: seconds within which a beat has to come, 0 for none."""

    def __init__(self, socket_path: str, watchdog: float) -> None:
        self._address = "\0" + socket_path[1:] if socket_path.startswith("@") else socket_path
        self.watchdog = watchdog
        self._status = ""

    @classmethod
    def from_environment(cls, environment: "os._Environ[str]") -> "Notifier":
        """Takes the variables away, so that no child takes itself for the service [sd_notify(3), unset_environment]."""
        path = environment.pop("NOTIFY_SOCKET", "")
        micros, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        meant = not pid or pid == str(os.getpid())
        return cls(path, int(micros) / 1e6 if micros.isdigit() and meant else 0.0)

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Needs the monotonic time from systemd 253 on."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def extend(self, seconds: float) -> None:
        """The end takes longer than TimeoutStopSec: so many seconds from now until the next such word, at least."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def beat(self) -> None:
        if self.watchdog:
            self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line, sent where it changed."""
        line = " ".join(text.split())[:LONGEST]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def _send(self, message: str) -> None:
        """A manager that does not listen is no reason to end."""
        if self._address:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(1.0)
                sender.sendto(message.encode(), self._address)
