"""Changes in Consul, one after the other, each of which has to be seen in the memory of every node."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from tests.lab.consul import ConsulAgent
from tests.lab.node import Node
from tests.lab.process import LabError
from tests.lab.rpc import Rpc
from tests.lab.sampler import Dispatcher, Sampler, uris

FIRST_PORT = 20_000
KEPT = 4
"""Guests that are registered at a time, once they were seen."""


class Seen(NamedTuple):
    """`changes`: that were made; `lost`: which of them did not come, by node; `slowest`, `middle`: seconds until the
    last node had a change, at most and in the middle of all."""

    changes: int
    lost: list[str]
    slowest: float
    middle: float


@dataclass
class Change:
    """`joins`: that guest comes, else he goes. `seen`: seconds, by node."""

    number: int
    joins: bool
    at: float = field(default_factory=time.monotonic)
    seen: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.number} {'joins' if self.joins else 'leaves'}"


class Guests:
    """`with Guests(consul, service, setid, nodes) as guests:`; one comes or goes each `every` s at least. One goes only
    when he was seen everywhere, so that no change takes back another that was not seen."""

    def __init__(
        self, consul: ConsulAgent, service: str, setid: int, nodes: Sequence[Node], every: float = 1.0
    ) -> None:
        self._consul, self._service, self._setid, self._every = consul, service, setid, every
        self._stack = ExitStack()
        self._ctls = {node.directory.name: node.kamailio.ctl for node in nodes}
        self._samplers: Mapping[str, Sampler[Dispatcher]] = {}
        self.changes: list[Change] = []
        self.refused: list[str] = []
        """What Consul itself would not do."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._make, name="guests", daemon=True)

    def end(self, timeout: float = 60.0) -> Seen:
        """No further changes; waits for those that were made."""
        self._ending.set()
        self._thread.join(30)
        deadline = time.monotonic() + timeout
        while self._open() and time.monotonic() < deadline:
            self._look()
            time.sleep(0.05)
        lost = [f"{change} at {node}" for change in self.changes for node in self._ctls if node not in change.seen]
        took = sorted(max(change.seen.values()) for change in self.changes if len(change.seen) == len(self._ctls))
        last, middle = (round(took[-1], 2), round(took[len(took) // 2], 2)) if took else (0.0, 0.0)
        return Seen(len(self.changes), lost + self.refused, last, middle)

    def _make(self) -> None:
        number = 0
        while not self._ending.is_set():
            try:
                number += 1
                self._consul.register(self._service, f"guest{number}", port=FIRST_PORT + number)
                self.changes.append(Change(number, True))
                self._pause()
                if number > KEPT and self._whole(number - KEPT):
                    self._consul.deregister(f"guest{number - KEPT}")
                    self.changes.append(Change(number - KEPT, False))
                    self._pause()
            except (OSError, LabError) as error:
                self.refused.append(f"Consul: {error}")
                self._pause()

    def _pause(self) -> None:
        until = time.monotonic() + self._every
        while time.monotonic() < until and not self._ending.wait(0.02):
            self._look()

    def _whole(self, number: int) -> bool:
        return any(
            len(change.seen) == len(self._ctls) for change in self.changes if change.number == number and change.joins
        )

    def _open(self) -> bool:
        return any(len(change.seen) < len(self._ctls) for change in self.changes)

    def _look(self) -> None:
        for node, sampler in self._samplers.items():
            memory = sampler.now()
            if memory is None:
                continue
            held = {int(uri.rpartition(":")[2]) - FIRST_PORT for uri in uris(memory, self._setid)}
            for change in self.changes:
                if node not in change.seen and (change.number in held) is change.joins:
                    change.seen[node] = time.monotonic() - change.at

    def __enter__(self) -> Self:
        self._samplers = {
            node: self._stack.enter_context(Sampler(ctl, Rpc.dispatcher, 0.05)) for node, ctl in self._ctls.items()
        }
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._thread.join(30)
        self._stack.close()
