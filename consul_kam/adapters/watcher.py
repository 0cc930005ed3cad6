"""The end of processes, whoever started them, is told through pidfds [pidfd_open(2)]."""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable


class Watcher:
    """Tells of the end of processes, our children and adopted ones alike, through pidfds; on a thread of its own."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.POLLIN)
        self._watched: dict[int, tuple[int, Callable[[str], None]]] = {}
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="processes", daemon=True)
        self._thread.start()

    def watch(self, pid: int, ended: Callable[[str], None]) -> None:
        """Call `ended` with how it ended ("exit code 1", "signal 9"; "ended" where that is not ours to know)."""
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            ended("ended")
            return
        self._watched[descriptor] = (pid, ended)
        self._poll.register(descriptor, select.POLLIN)
        os.eventfd_write(self._wake, 1)  # poll(2) goes on with what it was called with

    @property
    def pids(self) -> frozenset[int]:
        return frozenset(pid for pid, _ in list(self._watched.values()))

    def close(self) -> None:
        """The processes live on."""
        self._open = False
        os.eventfd_write(self._wake, 1)
        self._thread.join(1.0)

    def _serve(self) -> None:
        while self._open:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._wake:
                    with contextlib.suppress(BlockingIOError):
                        os.eventfd_read(self._wake)
                else:
                    self._ended(descriptor)
        for descriptor in self._watched:
            os.close(descriptor)
        os.close(self._wake)

    def _ended(self, descriptor: int) -> None:
        """The group goes before its leader is reaped: a zombie keeps the number from strangers."""
        self._poll.unregister(descriptor)
        pid, ended = self._watched.pop(descriptor)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        try:
            result = os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
        except ChildProcessError:
            result = None
        os.close(descriptor)
        ended(_how(result))


def _how(result: os.waitid_result | None) -> str:
    if result is None:
        return "ended"
    if result.si_code == os.CLD_EXITED:
        return f"exit code {result.si_status}"
    return f"signal {result.si_status}"
