"""One thing at a time on a worker, and a timer for the next: for whoever decides anew after each."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

from consul_kam.app.loop import Loop, Worker
from consul_kam.errors import ConsulKamError

T = TypeVar("T")


class Turns:
    """Used on the decision thread. After each turn, and at each timer, `after` and then `then` are called there."""

    _worker: Worker | None

    def __init__(self, loop: Loop, name: str, after: Callable[[], None], then: Callable[[], None]) -> None:
        """The worker begins with the first turn."""
        self._loop, self._after, self._then = loop, after, then
        self._name, self._worker = name, None
        self._wakes = math.inf
        self._closed = False
        self.busy = False

    def do(self, act: Callable[[], T], took: Callable[[T], None], failed: Callable[[ConsulKamError], None]) -> None:
        """`act` on the worker; what it returns goes to `took`, a ConsulKamError to `failed`."""
        assert not self.busy
        self.busy = True

        def job() -> None:
            try:
                found = act()
            except ConsulKamError as error:
                refused = error  # the name of an except clause does not outlive it
                self._loop.post(lambda: self._done(lambda: failed(refused)))
            else:
                self._loop.post(lambda: self._done(lambda: took(found)))

        self._worker = self._worker or Worker(self._name)
        self._worker.submit(job)

    def wake(self, seconds: float) -> None:
        """`then` in so many seconds at the latest."""
        when = time.monotonic() + max(seconds, 0.0)
        if when < self._wakes:
            self._wakes = when
            self._loop.at(when, self._woke)

    def close(self) -> None:
        self._closed = True
        if self._worker is not None:
            self._worker.close(0.5)

    def _done(self, follow: Callable[[], None]) -> None:
        self.busy = False
        if not self._closed:
            follow()
            self._after()
            self._then()

    def _woke(self) -> None:
        self._wakes = math.inf
        if not self._closed:
            self._after()
            self._then()
