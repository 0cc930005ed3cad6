"""The decision thread's queue and timers, and the workers that do what blocks."""

import heapq
import itertools
import os
import queue
import sys
import threading
import time
from collections.abc import Callable

Call = Callable[[], object]
"""What it returns is of no interest."""

DEFECT = 70
"""Exit code: EX_SOFTWARE of sysexits.h."""


def end_loudly(failed: threading.ExceptHookArgs) -> None:
    """For threading.excepthook: what no thread of ours expected ends the whole engine, since half an engine looks alive
    and does nothing. The next one goes on from what is on disk and in memory (crash-only).
    """
    try:
        sys.excepthook(failed.exc_type, failed.exc_value or failed.exc_type(), failed.exc_traceback)
    finally:
        os._exit(DEFECT)


class Loop:
    """Runs calls one after another on the thread that calls `run`. `post` may be called from any thread."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Call]] = []
        self._count = itertools.count()
        self._open = True

    def post(self, call: Call) -> None:
        """Have `call` run on the decision thread."""
        self._calls.put(call)

    def at(self, when: float, call: Call) -> None:
        """Have `call` run at the monotonic time `when` (s); only from the decision thread."""
        heapq.heappush(self._timers, (when, next(self._count), call))

    def stop(self) -> None:
        """End `run` after the call under way."""
        self._open = False

    def run(self, after_each: Call) -> None:
        """Until `stop`. `after_each` runs after every call."""
        while self._open:
            self._next()()
            after_each()

    def _next(self) -> Call:
        """Timers that are due go first, so that a flood of calls cannot keep them waiting."""
        wait = self._timers[0][0] - time.monotonic() if self._timers else None
        if wait is None or wait > 0:
            try:
                return self._calls.get(timeout=wait)
            except queue.Empty:
                pass
        return heapq.heappop(self._timers)[2]


class Worker:
    """One thread that carries out jobs in order."""

    def __init__(self, name: str, limit: int = 0) -> None:
        """`limit`: jobs that may wait; further ones are dropped and counted. 0: no limit."""
        self._jobs: queue.Queue[Call | None] = queue.Queue(limit)
        self.dropped = 0
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Call) -> None:
        """Queue a job; never blocks."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.dropped += 1

    def close(self, deadline: float) -> None:
        """Finish what is queued, for at most `deadline` s."""
        self._jobs.put(None)
        self._thread.join(deadline)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
