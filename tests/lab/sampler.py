"""A thread that watches Kamailio's memory through the independent RPC client."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tests.lab.process import LabError, Watching
from tests.lab.rpc import Destination, Fault, Rpc, Unreachable

T = TypeVar("T")
Dispatcher = dict[int, list[Destination]]


@dataclass(frozen=True)
class Sample(Generic[T]):
    """What memory held from `at` on (time.monotonic(), s: the moment the reply was complete); None: no answer then."""

    at: float
    value: T | None


class Sampler(Watching, Generic[T]):
    """`with Sampler(kam.ctl, Rpc.dispatcher) as seen:`; asks each `every` s and keeps each *change* in `history`."""

    def __init__(self, ctl: Path, read: Callable[[Rpc], T], every: float = 0.003) -> None:
        super().__init__()
        self.history: list[Sample[T]] = []
        self.samples = 0
        self._rpc, self._read, self._every = Rpc(ctl, 5.0), read, every
        self._changed = threading.Condition()

    def _watch(self) -> None:
        while not self._ending.is_set():
            try:
                value: T | None = self._read(self._rpc)
            except (Unreachable, Fault, TimeoutError):
                value = None
            with self._changed:
                self.samples += 1
                if not self.history or self.history[-1].value != value:
                    self.history.append(Sample(time.monotonic(), value))
                self._changed.notify_all()
            self._ending.wait(self._every)
        self._rpc.close()

    def now(self) -> T | None:
        """The newest value that was seen."""
        with self._changed:
            return self.history[-1].value if self.history else None

    def wait_until(self, predicate: Callable[[T], bool], timeout: float) -> float:
        """When (monotonic s) the state that now fulfils `predicate` came to be; LabError after `timeout` s."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                last = self.history[-1] if self.history else None
                if last is not None and last.value is not None and predicate(last.value):
                    return last.at
                if not self._changed.wait(max(0.0, deadline - time.monotonic())) or time.monotonic() > deadline:
                    raise LabError(f"cannot see the wanted state in memory within {timeout} s; newest: {last}")

    def never(self, predicate: Callable[[T], bool], since: float = 0.0) -> bool:
        """True where no sample since `since` (monotonic s; the state in force then included) fulfilled `predicate`.
        LabError where nothing was ever seen."""
        values = [sample.value for sample in self.since(since) if sample.value is not None]
        if not values and all(sample.value is None for sample in self.since(0.0)):
            raise LabError("cannot say what never was in memory: nothing was seen of it")
        return not any(map(predicate, values))

    def since(self, since: float) -> list[Sample[T]]:
        """The samples in force at `since` (monotonic s) and after."""
        with self._changed:
            first = max((i for i, sample in enumerate(self.history) if sample.at <= since), default=0)
            return self.history[first:]


def uris(memory: Dispatcher, setid: int = 1) -> list[str]:
    """The URIs of one set, in Kamailio's order."""
    return [destination.uri for destination in memory.get(setid, [])]
