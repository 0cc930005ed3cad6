"""Programs that outlive us: started, found again, and ended with all that they left behind.

A program gets a session of its own, so that its workers are its process group: Kamailio's outlive a SIGKILL of its main
process and go on answering SIP and RPC (kamailio-facts.md, 11). Before it is executed it writes down who it is, so that
the next supervisor finds it even if this one dies at any moment. The number of a process alone proves nothing, since
the kernel hands it out again; number, start and boot together do [proc_pid_stat(5), field 22; random(4), boot_id].
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil

from consul_kam.adapters import files
from consul_kam.errors import ConsulKamError

_WRITE_AND_EXECUTE = (
    "read -r boot </proc/sys/kernel/random/boot_id; read -r stat </proc/$$/stat; "
    'printf "%s\\n" "$boot" "$stat" "$1" >"$0.new" && mv "$0.new" "$0"; exec "$@"'
)
"""$0: the record. A disk that is full must not keep Kamailio down: then nobody will adopt it, and no more. Calls wait
meanwhile: mv is the only program that is run for it.
"""
_LARGEST_RECORD = 8192
RESET = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores and its children should not."""
EMPTIED_WITHIN = 5.0
"""Seconds that SIGKILL may take to empty a group."""


class ProcessError(ConsulKamError):
    """A program cannot be started, or its last one cannot be ended."""


class Identity(NamedTuple):
    """`started`: clock ticks since boot. `program`: its path."""

    pid: int
    started: int
    boot: str
    program: str


@dataclass(frozen=True)
class Facts:
    """`status` as psutil says it ("zombie", ...); `rss` bytes of the whole group, shared memory once; `cpu` seconds."""

    status: str
    rss: int
    cpu: float
    members: int


def spawn(argv: Sequence[str], record: Path, environment: Mapping[str, str]) -> Identity:
    """Start a program in a session of its own; `record` holds who it is before it is executed.

    It inherits our standard output and error, so that no pipe of ours dies with us. Raises ProcessError.
    """
    program = shutil.which(argv[0], path=environment.get("PATH"))
    if program is None:
        raise ProcessError(f"cannot start {argv[0]}: there is no such program; install it, or give its path")
    try:
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _WRITE_AND_EXECUTE, str(record), program, *argv[1:]],
            environment,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)],
            setsid=True,
            setsigmask=(),
            setsigdef=RESET,
        )
    except OSError as error:
        raise ProcessError(f"cannot start {program}: {error.strerror}") from None
    stat = _stat(pid)
    assert stat is not None, "nobody but the watcher waits for it"
    return Identity(pid, _started(stat), _boot(), program)


def output(argv: Sequence[str], environment: Mapping[str, str], deadline: float) -> tuple[int, list[str]]:
    """Run a program to its end: exit code and the lines that it said. `deadline`: seconds. Raises ProcessError."""
    try:
        done = subprocess.run(
            argv,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=deadline,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProcessError(f"cannot run {' '.join(argv)}: it did not end within {deadline:g} s") from None
    except OSError as error:
        raise ProcessError(f"cannot run {argv[0]}: {error.strerror}; install it, or give its path") from None
    return done.returncode, done.stdout.decode("utf-8", "replace").splitlines()


def recorded(record: Path) -> Identity | None:
    """Whom the record names, alive or not; None where it names nobody of this boot."""
    try:
        boot, stat, program = files.read_regular(record, _LARGEST_RECORD).decode().splitlines()[:3]
        found = Identity(int(stat.split(" ", 1)[0]), _started(stat), boot, program)
    except (OSError, ValueError, IndexError):
        return None
    return found if found.boot == _boot() else None


def alive(identity: Identity) -> bool:
    """Whether it is that very process, and no zombie."""
    stat = _stat(identity.pid)
    return stat is not None and _started(stat) == identity.started and _state(stat) not in "ZX"


def members(identity: Identity) -> list[int]:
    """The processes of its group that live, itself included. The number of a group is not given out while one does;
    where a stranger leads a session of that number, there is none of ours.
    """
    leader = _stat(identity.pid)
    if leader is not None and _started(leader) != identity.started:
        return []
    found = []
    for pid in psutil.pids():
        stat = _stat(pid) if _in_group(pid, identity.pid) else None
        if stat is not None and _state(stat) not in "ZX" and _group(stat) == (identity.pid, identity.pid):
            found.append(pid)
    return found


def _in_group(pid: int, group: int) -> bool:
    """Asked first, of all processes of the host: a tenth of what it takes to read about each."""
    try:
        return os.getpgid(pid) == group
    except OSError:
        return False


def empty(identity: Identity) -> None:
    """SIGKILL to all that is left of its group, until nothing is. Raises ProcessError."""
    until = time.monotonic() + EMPTIED_WITHIN
    while left := members(identity):
        if time.monotonic() > until:
            raise ProcessError(f"cannot end {identity.program}: process {left[0]} survives SIGKILL")
        for pid in left:
            signal_process(pid, signal.SIGKILL)
        time.sleep(0.001)


def reap(identity: Identity) -> None:
    """A child of ours that ended while nobody watched it."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(identity.pid, os.WNOHANG)


def signal_process(pid: int, number: int) -> None:
    """To one process; none where it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def kill(identity: Identity) -> None:
    """SIGKILL to its whole group, where it is still that process."""
    if alive(identity):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(identity.pid, signal.SIGKILL)


def facts(identity: Identity) -> Facts | None:
    """None where it is gone."""
    found = members(identity)
    rss, shared, cpu = 0, 0, 0.0
    status = ""
    for pid in found:
        try:
            process = psutil.Process(pid)
            memory, times = process.memory_info(), process.cpu_times()
            status = process.status() if pid == identity.pid else status
        except psutil.Error:
            continue
        rss, shared, cpu = rss + memory.rss - memory.shared, max(shared, memory.shared), cpu + times.user + times.system
    return Facts(status, rss + shared, cpu, len(found)) if found else None


class Reaper:
    """Orphans that became our children, as PID 1 of a container gets them: reaped once nobody else did.

    The exit status of a child that somebody waits for (`sh`, subprocess) is never stolen: it is gone at the next look.
    """

    def __init__(self, known: Callable[[], frozenset[int]]) -> None:
        """`known`: children that are waited for elsewhere."""
        self._known, self._seen = known, frozenset[int]()

    def look(self) -> int:
        """Reap; call it each second. Returns how many were."""
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                self._seen = frozenset()
                return 0
        except ChildProcessError:
            return 0
        zombies = frozenset(_zombies()) - self._known()
        reaped = 0
        for pid in zombies & self._seen:
            with contextlib.suppress(ChildProcessError):
                reaped += os.waitpid(pid, os.WNOHANG)[0] == pid
        self._seen = zombies
        return reaped


def _zombies() -> list[int]:
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if child.status() == psutil.STATUS_ZOMBIE:
                found.append(child.pid)
    return found


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _stat(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def _fields(stat: str) -> list[str]:
    """From the third on; the second is the program's name and may hold anything."""
    return stat[stat.rindex(")") + 2 :].split()


def _state(stat: str) -> str:
    return _fields(stat)[0]


def _group(stat: str) -> tuple[int, int]:
    """Process group and session."""
    fields = _fields(stat)
    return int(fields[2]), int(fields[3])


def _started(stat: str) -> int:
    return int(_fields(stat)[19])
