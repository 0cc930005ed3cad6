"""One bridge, and network namespaces on it: 192.0.2.0/24, without a way out. All of it ends with this process.

That network is for documentation (RFC 5737): the shipped inventories name its addresses, and work here as they stand.
"""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab.process import LabError, Process, program, wait_for

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace; it lives as long as the process that holds it. `address`: its own on the bridge."""

    def __init__(self, directory: Path, name: str, address: str = "") -> None:
        self.name, self.address = name, address
        self._holder = Process(["unshare", "--net", "sleep", "infinity"], directory / f"{name}.netns.log")
        ours = os.readlink("/proc/self/ns/net")
        wait_for(f"the namespace {name}", lambda: os.readlink(self.path) != ours, 10)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._holder.pid

    @property
    def path(self) -> str:
        return f"/proc/{self.pid}/ns/net"

    def enter(self, *argv: str | Path) -> list[str]:
        """The command that runs `argv` in there, from here: with our files and our environment."""
        return [program("nsenter"), f"--net={self.path}", *map(str, argv)]

    def run(self, *argv: str | Path, check: bool = True) -> str:
        done = subprocess.run(self.enter(*argv), capture_output=True, text=True, timeout=30, check=False)
        if check and done.returncode:
            raise LabError(f"cannot run {argv} in {self.name}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile belong to the namespace for good; those of other threads do not."""
        with open(f"/proc/self/task/{_libc.gettid()}/ns/net") as ours, open(self.path) as theirs:
            _enter(theirs.fileno())
            try:
                yield
            finally:
                _enter(ours.fileno())

    def close(self) -> None:
        self._holder.stop()


class Network:
    """`with Network(tmp_path) as network: a = network.add("a", "192.0.2.11")`"""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self.members: list[Namespace] = []
        self._switch = Namespace(directory, "switch")
        self._switch.run("ip", "link", "add", "br0", "type", "bridge")
        self._switch.run("ip", "link", "set", "br0", "up")

    def add(self, name: str, address: str) -> Namespace:
        """Another namespace on the bridge, with one interface, eth0."""
        made = Namespace(self._directory, name, address)
        self.members.append(made)
        port = f"port{len(self.members)}"
        self._switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(made.pid))
        self._switch.run("ip", "link", "set", port, "master", "br0", "up")
        made.run("ip", "address", "add", f"{made.address}/24", "dev", "eth0")
        made.run("ip", "link", "set", "eth0", "up")
        return made

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        for each in (*self.members, self._switch):
            each.close()


def _enter(number: int) -> None:
    if _libc.setns(number, _CLONE_NEWNET):
        raise LabError(f"cannot enter a network namespace: {os.strerror(ctypes.get_errno())}")
