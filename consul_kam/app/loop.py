"""The decisions' queue and timers, and the workers that do what blocks."""

import contextlib
import heapq
import itertools
import os
import queue
import sys
import threading
import time
from collections import deque
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
    """Runs calls one after another, timers among them.

    It is a turn that threads take rather than a thread of its own: a worker that has something to say where nobody is
    deciding anything decides at once what follows, instead of waking another thread for that.
    """

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._timers: list[tuple[float, int, Call]] = []
        self._count = itertools.count()
        self._turn = threading.Lock()
        self._turn.acquire()  # nothing is run before `run`
        self._after_each: Call = lambda: None
        self._open = True
        self._ended = threading.Event()
        self._defect: BaseException | None = None
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        """Wakes the thread that calls `run`; its `put` may interrupt anything, as a signal's handler does."""

    def post(self, call: Call) -> None:
        """Have `call` run, from any thread, which is not kept."""
        self._calls.append(call)
        self._bell.put(None)

    def leave(self, call: Call) -> None:
        """Have `call` run before whatever is posted next; nobody is woken for it."""
        self._calls.append(call)

    def take(self, call: Call) -> None:
        """Have `call` run: here and now, with what follows from it, where no other thread has the turn; else there."""
        self._calls.append(call)
        self._serve()

    def at(self, when: float, call: Call) -> None:
        """Have `call` run at the monotonic time `when` (s); only from within a call, or before `run`."""
        heapq.heappush(self._timers, (when, next(self._count), call))
        if self._timers[0][0] == when:
            self._bell.put(None)

    def stop(self) -> None:
        """End `run` after the call under way; only from within a call."""
        self._open = False

    def run(self, after_each: Call) -> None:
        """Until `stop`. `after_each` runs after every call. Raises what a call raised."""
        self._after_each = after_each
        self._turn.release()
        while not self._ended.is_set():
            self._serve()
            with contextlib.suppress(queue.Empty):
                wait = self._wait()
                # Where another thread has the turn, a timer that is due is run there.
                self._bell.get(timeout=wait if wait is None else max(wait, 0.001))
        if self._defect is not None:
            raise self._defect

    def _serve(self) -> None:
        """Whoever gives the turn back looks once more: a call may have come meanwhile."""
        while self._due() and self._turn.acquire(blocking=False):
            try:
                while self._open and self._due():
                    self._next()()
                    self._after_each()
            except BaseException as defect:  # noqa: BLE001 - `run` raises it
                self._defect, self._open = defect, False
            if not self._open:  # the turn is never given back
                self._ended.set()
                self._bell.put(None)
                return
            self._turn.release()

    def _wait(self) -> float | None:
        """Seconds until the next timer is due."""
        try:
            return max(0.0, self._timers[0][0] - time.monotonic())
        except IndexError:
            return None

    def _due(self) -> bool:
        return bool(self._calls) or self._wait() == 0.0

    def _next(self) -> Call:
        """Timers that are due go first, so that a flood of calls cannot keep them waiting."""
        return heapq.heappop(self._timers)[2] if self._wait() == 0.0 else self._calls.popleft()


class Worker:
    """One thread that carries out jobs in order."""

    def __init__(self, name: str, limit: int = 0) -> None:
        """`limit`: jobs that may wait; further ones are dropped and counted. 0: no limit."""
        self._jobs: queue.Queue[Call | None] = queue.Queue(limit)
        self.dropped = 0
        self.turn = threading.Lock()
        """Held while a job is under way; whoever does this one's work on another thread takes it."""
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
            with self.turn:
                job()
