"""Real Kamailios that load lists: one that reloads, or one started for each list (some 10 ms)."""

import itertools
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.ports import free_port
from tests.lab.process import Process
from tests.lab.rpc import Fault, Rpc, Unreachable
from tools import kamailio_roots
from tools.oracle.adapter import Adapter, Entry

_CFG = """\
#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
auto_aliases=no
disable_tcp=yes
# a good IPv6 literal is loaded only with this
dns_try_ipv6=yes
dns=no
use_dns_cache=off
rev_dns=no
dns_retr_time=1
dns_retr_no=1
dns_servers_no=1
dns_use_search_list=no
listen=udp:127.0.0.1:{port} name "{name}"
listen=udp:[::1]:{port}
listen=udp:{socket}
mpath="{modules}/"
loadmodule "ctl.so"
loadmodule "tm.so"
loadmodule "db_text.so"
modparam("ctl","binrpc","unix:{ctl}")
modparam("db_text","db_mode",1)
{cfg}
request_route {{ exit; }}
"""
SOCKET = "127.9.9.9:15060"
"""What `socket=` may name. The same for all, so that lists can be drawn again: several may listen on one UDP port."""
SOCKNAME = "here"
NO_START = "Kamailio does not start"
_LIMIT = 20.0
"""Seconds for a start or an RPC; a name that nobody answers for costs some."""

_FAST = "/dev/shm"
"""A file system in memory halves the time, where there is one."""

# a table that is not newer by a whole second than the one before is not read again
_mtimes = itertools.count(int(time.time()) + 100_000)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a list: Kamailio's memory afterwards, empty where an old list stays; `fault`: what the load said."""

    entries: tuple[Entry, ...]
    fault: str = ""
    died: bool = False
    kept: bool = True
    """With a fault: whether memory is what it was before."""
    seconds: float = 0.0
    log: str = ""
    """Of one that did not start: the end of what it said."""


class Instance:
    """One Kamailio in a directory of its own; `with` ends it."""

    def __init__(self, adapter: Adapter, program: kamailio_roots.Kamailio) -> None:
        self.adapter = adapter
        self.directory = Path(tempfile.mkdtemp(prefix="ck-oracle-", dir=_FAST if os.access(_FAST, os.W_OK) else None))
        self.live = self.directory / "live"
        self.live.mkdir()
        self.log = self.directory / "log"
        self._cfg = self.directory / "kamailio.cfg"
        self._program = program
        self._ctl = self.directory / "ctl"
        self.rpc = Rpc(self._ctl, timeout=_LIMIT)
        self._process: Process | None = None
        for name, data in adapter.beside.items():
            (self.live / name).write_bytes(data)
        self.write(adapter.empty)

    def write(self, data: bytes) -> None:
        """The list."""
        path = self.live / self.adapter.file
        path.write_bytes(data)
        mtime = next(_mtimes)
        os.utime(path, (mtime, mtime))

    def start(self) -> bool:
        """Whether it came up."""
        cfg = self.adapter.cfg.format(live=self.live)
        self._cfg.write_text(
            _CFG.format(
                port=free_port(), socket=SOCKET, name=SOCKNAME, modules=self._program.modules, ctl=self._ctl, cfg=cfg
            )
        )
        self._ctl.unlink(missing_ok=True)
        argv = ["-f", self._cfg, "-DD", "-E", "-Y", self.directory, "-P", self.directory / "pid", "-m", "32", "-M", "8"]
        self._process = Process([self._program.kamailio, *argv], self.log, cwd=self.directory)
        end = time.monotonic() + _LIMIT
        while self._process.alive() and time.monotonic() < end:
            try:
                self.adapter.memory(self.rpc)
            except (Unreachable, Fault, TimeoutError):
                time.sleep(0.001)
            else:
                return True
        return False

    def stop(self) -> None:
        self.rpc.close()
        if self._process is not None:
            self._process.kill_group()
            self._process.wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Reloading(Instance):
    """Loads one list after the other; comes up again where a list ended it."""

    _held: tuple[Entry, ...] = ()

    def __enter__(self) -> Self:
        self._up()
        return self

    def load(self, data: bytes) -> Loaded:
        """Give it this list."""
        before = self._held
        self.write(data)
        begin = time.monotonic()
        fault = ""
        try:
            self.rpc.call(self.adapter.reload, *filter(None, [self.adapter.argument]))
        except Fault as said:
            fault = f"{said.code} {said.reason}"
        except (Unreachable, TimeoutError) as error:
            self.stop()
            self.write(self.adapter.empty)
            self._up()
            return Loaded((), str(error), died=True, kept=False)
        seconds = time.monotonic() - begin
        self._held = tuple(self.adapter.memory(self.rpc))
        kept = self._held == before
        return Loaded(() if fault and kept else self._held, fault, kept=kept, seconds=seconds)

    def _up(self) -> None:
        assert self.start(), f"cannot start Kamailio: see {self.log}"
        self._held = tuple(self.adapter.memory(self.rpc))


class Starting:
    """A Kamailio for each list; may be used by several threads."""

    def __init__(self, adapter: Adapter, program: kamailio_roots.Kamailio) -> None:
        self._adapter, self._program = adapter, program

    def load(self, data: bytes) -> Loaded:
        """Start on this list. One that does not come up has no old list to keep."""
        with Instance(self._adapter, self._program) as kamailio:
            kamailio.write(data)
            begin = time.monotonic()
            if not kamailio.start():
                log = kamailio.log.read_text(errors="replace")[-2_000:]
                return Loaded((), NO_START, seconds=time.monotonic() - begin, log=log)
            entries = self._adapter.memory(kamailio.rpc)
            return Loaded(tuple(entries), seconds=time.monotonic() - begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
