"""A real Kamailio on loopback."""

import os
import shutil
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.kamailio_cfg import Options, render
from tests.lab.ports import free_port
from tests.lab.process import PATIENCE, LabError, Process, short_directory, tail, wait_for
from tests.lab.rpc import Fault, Rpc, Unreachable
from tests.lab.tls import Authority
from tools import kamailio_roots

VERSIONS = tuple(kamailio_roots.DEBIAN)
"""The versions that what is true of Kamailio is tested with."""

# table versions that Kamailio 5.6 asks for (each module's own *_TABLE_VERSION)
_VERSION = "table_name(string) table_version(int)\n" + "".join(
    f"{name}:{number}\n"
    for name, number in [
        ("version", 1),
        ("domain", 2),
        ("domain_attrs", 1),
        ("rtpengine", 1),
        ("htable", 2),
        ("uacreg", 5),
    ]
)
DOMAIN_HEADER = "id(int,auto) domain(string) did(string) last_modified(int)\n"
DOMAIN_ATTRS_HEADER = "id(int,auto) did(string) name(string) type(int) value(string) last_modified(int)\n"
RTPENGINE_HEADER = "id(int,auto) setid(int) url(string) weight(int) disabled(int) stamp(int)\n"


def find(version: str = "") -> kamailio_roots.Kamailio:
    """Programs and modules of a version, "" as in `Options`. Raises LabError where it is not there."""
    try:
        return kamailio_roots.of_version(version or os.environ.get("LAB_KAMAILIO") or kamailio_roots.own_version())
    except kamailio_roots.RootError as error:
        raise LabError(str(error)) from None


class Kamailio:
    """`with Kamailio(tmp_path, reload_delta=0) as kam:`; keyword arguments are those of `Options`.

    Which version: `version="6.0.1"`; else `LAB_KAMAILIO` of the environment; else this machine's own.

    Live files: `kam.list_file`, `kam.dbtext/domain`, `kam.dbtext/rtpengine`; RPC: `kam.rpc` (the independent client)
    on the unix socket `kam.ctl`.
    """

    def __init__(self, directory: Path, **options: object) -> None:
        self.options = Options(**options)  # type: ignore[arg-type]
        self.found = find(self.options.version)
        self.directory = directory
        self.live = directory / "live"
        self.dbtext = self.live / "dbtext"
        self.list_file = self.live / "dispatcher.list"
        self.log = directory / "kamailio.log"
        self.cfg = directory / "kamailio.cfg"
        self.sip_port, self.http_port, self.rpc_port = free_port(), free_port(), free_port()
        self.run = short_directory(self)
        self.ctl, self.fifo = self.run / "ctl", self.run / "rpc.fifo"
        self.rpc = Rpc(self.ctl)
        self.ca_file = Path()  # whom a client over TLS trusts
        self._process: Process | None = None
        self._lay_out()

    def _lay_out(self) -> None:
        self.dbtext.mkdir(parents=True, exist_ok=True)
        tables = {
            "version": _VERSION,
            "domain": DOMAIN_HEADER,
            "domain_attrs": DOMAIN_ATTRS_HEADER,
            "rtpengine": RTPENGINE_HEADER,
        }
        for name, text in tables.items():
            path = self.dbtext / name
            path.exists() or path.write_text(text)
        self.list_file.exists() or self.list_file.write_text("")
        for name, text in self.options.files.items():
            path = self.live / name
            path.exists() or path.write_text(text)
        if self.options.http_rpc == "tls":
            authority = Authority(self.directory / "ca")
            authority.issue(self.run, "IP:127.0.0.1")
            self.ca_file = authority.certificate
        self.write_cfg()

    def write_cfg(self) -> None:
        """Write kamailio.cfg from `options` again (it is read at the next start)."""
        ports = (self.sip_port, self.http_port, self.rpc_port)
        self.cfg.write_text(render(self.options, self.found.modules, *ports, self.run, self.live))

    @property
    def command(self) -> list[str]:
        """Program and arguments, less what every start adds: foreground, logging and pid file."""
        memory = ["-m", str(self.options.shm), "-M", str(self.options.pkg)]
        return [str(self.found.kamailio), "-f", str(self.cfg), "-Y", str(self.run), *memory, *self.options.argv]

    @property
    def pid(self) -> int:
        """The main process."""
        assert self._process is not None, "Kamailio was never started"
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def returncode(self) -> int | None:
        return self._process.returncode() if self._process else None

    def start(self, timeout: float = 40.0) -> Self:
        """Start and wait until RPC and SIP OPTIONS answer (`timeout` s: a dead resolver costs up to 30)."""
        argv = [*self.command, "-DD", "-E", "-P", self.run / "pid"]
        self._process = Process(argv, self.log, cwd=self.directory)
        wait_for("Kamailio's RPC", lambda: self._ended() or self.answers_rpc(), timeout, self.log)
        wait_for("Kamailio's SIP", lambda: self._ended() or self.answers_options(), timeout, self.log)
        if self.options.fifo:
            wait_for("Kamailio's FIFO", self._fifo_is_read, timeout, self.log)
        if self.options.rtpengine:
            wait_for("rtpengine.so's readiness", self._rtpengine_ready, timeout, self.log)
        return self

    def _fifo_is_read(self) -> bool:
        """By a process of its own, which may be the last to start."""
        try:
            os.close(os.open(self.fifo, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def _rtpengine_ready(self) -> bool:
        """False in the moment after a start when SIP and RPC answer already but rtpengine.* says Initializing."""
        try:
            return isinstance(self.rpc.call("rtpengine.show", "all"), list)
        except Fault as fault:
            if "Initializing" in fault.reason:
                return False
            raise

    def _ended(self) -> bool:
        if not self.alive():
            raise LabError(f"cannot start Kamailio: it ended with {self.returncode()}\n{tail(self.log)}")
        return False

    def stop(self) -> None:
        """SIGTERM, then the rest of the group by SIGKILL; harmless when it is down already."""
        self.rpc.close()
        if self._process is not None:
            self._process.stop(timeout=5.0)

    def restart(self) -> Self:
        self.stop()
        return self.start()

    def kill9(self, group: bool = True) -> None:
        """SIGKILL: the whole group, or the main process alone (its workers then go on answering)."""
        self.rpc.close()
        assert self._process is not None
        if group:
            self._process.kill_group()
        else:
            os.kill(self.pid, 9)
        self._process.wait(PATIENCE)

    def answers_rpc(self) -> bool:
        try:
            return bool(self.rpc.call("core.uptime"))
        except (Unreachable, TimeoutError, Fault):
            return False

    def answers_options(self, timeout: float = 5.0) -> bool:
        """One OPTIONS over UDP; True on any 200 within `timeout` s."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(timeout)
            client.connect(("127.0.0.1", self.sip_port))
            port, branch = client.getsockname()[1], time.monotonic_ns()
            lines = [
                f"OPTIONS sip:127.0.0.1:{self.sip_port} SIP/2.0",
                f"Via: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{branch}",
                f"From: <sip:lab@127.0.0.1>;tag={branch}",
                f"To: <sip:127.0.0.1:{self.sip_port}>",
                f"Call-ID: {branch}@lab",
                "CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            ]
            try:
                client.send("\r\n".join(lines).encode())
                return client.recv(65535).startswith(b"SIP/2.0 200")
            except OSError:
                return False

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop and remove the run directory."""
        self.stop()
        shutil.rmtree(self.run, ignore_errors=True)
