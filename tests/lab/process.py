"""Child processes of the lab: found by name on PATH, logged to a file, gone when the test process is gone."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE = 30.0
"""Seconds for what is done at once, on a machine that may stand still for some of them."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class LabError(AssertionError):
    """The lab itself could not do what a test asked (a missing program, one that does not come up)."""


def program(name: str) -> str:
    """The full path of a program on PATH.

    Raises LabError where it is missing: a test never skips for want of a tool.
    """
    path = shutil.which(name)
    if path is None:
        raise LabError(f"cannot find the program {name!r} on PATH: install it or extend PATH (./dev test does both)")
    return path


def wait_for(
    what: str, probe: Callable[[], object], timeout: float, log: Path | None = None, every: float = 0.01
) -> None:
    """Call `probe` each `every` s until it returns something true; LabError after `timeout` s, with the log's tail."""
    deadline = time.monotonic() + timeout
    while not probe():
        if time.monotonic() > deadline:
            raise LabError(f"cannot see {what} within {timeout} s" + (f"\n{tail(log)}" if log else ""))
        time.sleep(every)


def short_directory(owner: object) -> Path:
    """For sockets: their path holds 107 bytes at most, and pytest's directories are too long for it.

    It goes with its owner, or with the program.
    """
    path = Path(tempfile.mkdtemp(prefix="ck-"))
    weakref.finalize(owner, shutil.rmtree, path, ignore_errors=True)
    return path


@contextmanager
def meanwhile(act: Callable[[], object], every: float) -> Iterator[None]:
    """On a thread of its own: `act`, `every` s after it was through, until the block is left."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(every):
            act()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def tail(log: Path, lines: int = 30) -> str:
    """The last lines of a log file, for error messages."""
    text = log.read_text(errors="replace") if log.exists() else ""
    return "\n".join([f"--- {log}", *text.splitlines()[-lines:]])


def freeze(pid: int) -> None:
    """SIGSTOP; returns when it stands still."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(f"process {pid} standing still", lambda: stands_still(pid), 10)


def stands_still(pid: int) -> bool:
    """All of its threads, or it is gone: SIGSTOP reaches them one after the other."""
    try:
        tasks = [(each / "stat").read_text() for each in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return not Path(f"/proc/{pid}").exists()
    return {stat.rpartition(")")[2].split()[0] for stat in tasks} <= {"T", "t", "Z"}


class Started:
    """In a `with` block: what `start` begins, `stop` ends, also where it began only half of it."""

    def start(self) -> Self:
        raise NotImplementedError

    def stop(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Watching(Started):
    """In a `with` block: a thread that runs `_watch`, which looks again and again until `_ending` is set."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=type(self).__name__.lower(), daemon=True)

    def _watch(self) -> None:
        raise NotImplementedError

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(30)


class Process:
    """One child in a session of its own, output appended to `log`.

    The kernel sends it SIGTERM (`death_signal`) when the *thread* that started it ends (prctl(2), PR_SET_PDEATHSIG):
    start processes from the main thread.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        death_signal: int = signal.SIGTERM,
    ) -> None:
        self.log = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [program(str(argv[0])), *map(str, argv[1:])],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                env=None if env is None else {**os.environ, **env},
                start_new_session=True,
                preexec_fn=lambda: _libc.prctl(_PR_SET_PDEATHSIG, death_signal),
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        """True until the process itself (not its children) has ended."""
        return self._popen.poll() is None

    def returncode(self) -> int | None:
        """As subprocess: negative is the signal that killed it; None while it runs."""
        return self._popen.poll()

    def send(self, number: int) -> None:
        """With SIGSTOP: returns when it stands still."""
        if self.alive():
            if number == signal.SIGSTOP:
                freeze(self.pid)
            else:
                self._popen.send_signal(number)

    def wait(self, timeout: float) -> int:
        """The exit status; LabError where it does not end within `timeout` s."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"cannot see {self._popen.args!r} end within {timeout} s\n{tail(self.log)}") from None

    def stop(self, number: int = signal.SIGTERM, timeout: float = 5.0) -> int | None:
        """Ask by signal, wait `timeout` s, then SIGKILL the whole group; returns the exit status."""
        self.send(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)
        self.kill_group()
        return self._popen.wait(PATIENCE)

    def kill_group(self) -> None:
        """SIGKILL to all that is left of the session's first group: Kamailio's workers outlive their main process."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
