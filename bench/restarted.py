"""Who starts Kamailio anew in the restart bench."""

import os
import signal
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bench.eye import NODE_CFG, WANTED, Eye
from bench.pipelines import host as address
from tests.hosts.host import Host
from tests.hosts.node import kamailio_pid, lay_out
from tests.lab import ConsulAgent, LabError, Node, Process, free_port, wait_for
from tests.lab.engine import ROOT
from tests.lab.example import Example

DEFINE = f"#!define PING_EVERY 600\n{NODE_CFG}"
# of equal priority the last line is the first in memory (kamailio-facts.md, 3)
LIST = "".join(f"1 {uri} 0 0\n" for uri in reversed(WANTED))


class Contender(Protocol):
    """Someone who keeps a Kamailio running; up and well within its `with` block."""

    name: str
    eye: Eye

    def main(self) -> int:
        """The main process, by our number."""
        ...

    def reset(self, old: frozenset[int]) -> None:
        """Have it well again after an end that it did not get over; what is left of `old` goes."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Kept:
    """What all contenders do at the end of their `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def supervised(directory: Path, consul: ConsulAgent) -> Node:
    """A whole node of role sbc, not started: Kamailio spawned, all probes, registration and status page on."""
    kamailio = Example(directory / "kam", "sbc", define=DEFINE)
    kamailio.live.joinpath("dbtext").mkdir(parents=True, exist_ok=True)
    for number in range(len(WANTED)):
        consul.register("router", f"r{number:05d}", address(number), 5060)
    listen = f"127.0.0.1:{free_port()}"
    return Node(directory / "node", kamailio, consul.address, registered=True, listen=listen, domain="", start=False)


class Ours(_Kept):
    """`consul-kam run`, a whole node."""

    name = "ours"

    def __init__(self, directory: Path, consul: ConsulAgent) -> None:
        super().__init__()
        directory.mkdir()
        self._node = supervised(directory, consul)
        self.eye = Eye(self._node.kamailio.sip_port, self._node.kamailio.ctl, os.getpid())

    def __enter__(self) -> Self:
        self._stack.push(self._node)
        self._node.start()
        wait_for("a node with its list", self.eye.is_well, 40, self._node.log, 0.05)
        self._node.ready()
        return self

    @property
    def pid(self) -> int:
        """Of `consul-kam run`."""
        return self._node.pid

    def main(self) -> int:
        return self._node.pid_of()

    def reset(self, old: frozenset[int]) -> None:
        raise LabError(f"cannot go on: consul_kam left its Kamailio, {sorted(old)}\n{self._node.log.read_text()}")


SUPERVISORD = """\
[supervisord]
nodaemon=true
logfile={directory}/supervisord.log
pidfile={directory}/supervisord.pid
childlogdir={directory}
[unix_http_server]
file={run}/sv
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{run}/sv
[program:kamailio]
command={command}
autorestart=true
startretries=1000000
startsecs=1
redirect_stderr=true
stdout_logfile={directory}/kamailio.log
stopasgroup=true
killasgroup=true
"""
BIN = ROOT / ".venv" / "supervisor" / "bin"


class Supervisord(_Kept):
    """supervisord with Kamailio's command. `udp`: without TCP (-T), so that a new one can start beside old workers;
    `emptied`: the best that can be made of it, a shell that ends what is left of the group first.
    """

    def __init__(self, directory: Path, udp: bool = False, emptied: bool = False) -> None:
        super().__init__()
        self.name, self._directory = directory.name, directory
        directory.mkdir()
        self._kamailio = kamailio = Example(directory / "kam", "sbc", destinations=LIST.splitlines(), define=DEFINE)
        pid_file = kamailio.run / "pid"
        words = [*kamailio.command, "-DD", "-E", "-P", str(pid_file), *["-T"] * udp]
        command = " ".join(words)
        if emptied:
            command = f"/bin/sh -c 'kill -9 -$(cat {pid_file}) && sleep 0.01; exec {command}'"
        self._conf = directory / "supervisord.conf"
        self._conf.write_text(SUPERVISORD.format(directory=directory, run=kamailio.run, command=command))
        self.eye = Eye(kamailio.sip_port, kamailio.ctl, os.getpid())

    def __enter__(self) -> Self:
        argv = [str(BIN / "supervisord"), "-c", str(self._conf)]
        process = Process(argv, self._directory / "out.log")
        self._stack.callback(self._kamailio.close)
        self._stack.callback(lambda: _kill(_that_run(self._kamailio.cfg)))
        self._stack.callback(process.stop, signal.SIGTERM, 30)
        self._well()
        return self

    def main(self) -> int:
        return int(self._ctl("pid", "kamailio"))

    def reset(self, old: frozenset[int]) -> None:
        _kill(self.eye.left_of(old))
        if self.eye.is_well():
            return
        self._ctl("stop", "kamailio")
        self._ctl("start", "kamailio")
        self._well()

    def _well(self) -> None:
        wait_for(f"the Kamailio of {self.name}", self.eye.is_well, 40, self._directory / "kamailio.log", 0.05)

    def _ctl(self, *words: str) -> str:
        argv = [str(BIN / "supervisorctl"), "-c", str(self._conf), *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout


class Systemd(_Kept):
    """Debian's kamailio.service in a host of its own, as it comes or with our drop-in."""

    def __init__(self, directory: Path, dropin: bool = False) -> None:
        super().__init__()
        self.name = "systemd-dropin" if dropin else "systemd-debian"
        self._host, self._dropin = Host(directory, "bookworm"), dropin

    def __enter__(self) -> Self:
        host = self._stack.enter_context(self._host)
        self.eye = Eye(5060, Path(f"/proc/{host.leader}/root/run/kamailio/kamailio_ctl"), host.leader)
        lay_out(host)
        if not self._dropin:
            host.run("rm", "-r", "/etc/systemd/system/kamailio.service.d")
        host.write("/etc/kamailio/node.cfg", DEFINE)
        host.path("/var/lib/consul_kam/live/dispatcher.list").write_text(LIST)
        host.systemctl("daemon-reload")
        host.systemctl("start", "kamailio.service")
        wait_for(f"the Kamailio of {self.name}", self.eye.is_well, 40, every=0.05)
        return self

    def main(self) -> int:
        return _outside(kamailio_pid(self._host), self._host.leader)

    def reset(self, old: frozenset[int]) -> None:
        _kill({_outside(pid, self._host.leader) for pid in self.eye.left_of(old)})
        self._host.systemctl("reset-failed", "kamailio.service", check=False)
        self._host.systemctl("restart", "kamailio.service")
        wait_for(f"the Kamailio of {self.name}", self.eye.is_well, 40, every=0.05)


def _outside(pid: int, leader: int) -> int:
    """Our number of a process that has this one among the processes of `leader`."""
    space = os.readlink(f"/proc/{leader}/ns/pid")
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (entry / "status").read_text()
            numbers = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if int(numbers[-1]) == pid and os.readlink(entry / "ns/pid") == space:
                return int(entry.name)
    raise LabError(f"cannot find process {pid} of that host")


def _that_run(cfg: Path) -> set[int]:
    """Processes with this file in their command: the workers of a supervisord that is gone."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(cfg).encode() in (entry / "cmdline").read_bytes().split(b"\0"):
                found.add(int(entry.name))
    return found


def _kill(pids: set[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
