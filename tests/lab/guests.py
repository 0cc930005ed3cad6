"""Changes in Consul, one after the other, each of which has to be seen in the memory of every node."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from tests.lab.consul import ConsulAgent
from tests.lab.engine import Engine
from tests.lab.process import Watching
from tests.lab.rpc import Rpc
from tests.lab.sampler import Dispatcher, Sampler, uris

FIRST_PORT = 20_000
PATIENCE = 10.0
"""Seconds for Consul to take a change: its certificates are changed meanwhile."""
_number = itertools.count(1)
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


class Guests(Watching):
    """`with Guests(consul, service, setid, nodes) as guests:`; one comes or goes each `every` s at least. One goes only
    when he was seen everywhere, so that no change takes back another that was not seen."""

    def __init__(
        self, consul: ConsulAgent, service: str, setid: int, nodes: Sequence[Engine], every: float = 1.0
    ) -> None:
        super().__init__()
        self._consul, self._service, self._setid, self._every = consul, service, setid, every
        self._stack = ExitStack()
        self._ctls = {node.directory.name: node.kamailio.ctl for node in nodes}
        self._samplers: Mapping[str, Sampler[Dispatcher]] = {}
        self.changes: list[Change] = []
        self._first = next(_number)
        self.refused: list[str] = []
        """What Consul itself would not do."""

    def end(self, timeout: float = 60.0) -> Seen:
        """No further changes; waits for those that were made."""
        super().stop()
        deadline = time.monotonic() + timeout
        while self._open() and time.monotonic() < deadline:
            self._look()
            time.sleep(0.05)
        lost = [f"{change} at {node}" for change in self.changes for node in self._ctls if node not in change.seen]
        lost += [f"{node} holds {sorted(held)}" for node, held in self._held() if held != self._registered()]
        took = sorted(max(change.seen.values()) for change in self.changes if len(change.seen) == len(self._ctls))
        last, middle = (round(took[-1], 2), round(took[len(took) // 2], 2)) if took else (0.0, 0.0)
        return Seen(len(self.changes), lost + self.refused, last, middle)

    def _watch(self) -> None:
        while not self._ending.is_set():
            number = next(_number)
            check = {"TTL": "24h", "Status": "passing"}
            guest = {"Name": self._service, "ID": f"guest{number}", "Address": "127.0.0.1", "Check": check}
            if self._put("register", {**guest, "Port": FIRST_PORT + number}):
                self.changes.append(Change(number, True))
            self._pause()
            if self._whole(number - KEPT) and self._put(f"deregister/guest{number - KEPT}"):
                self.changes.append(Change(number - KEPT, False))
                self._pause()

    def _put(self, path: str, body: object = None) -> bool:
        """Asked again and again, as one would who has a change to make."""
        deadline, said = time.monotonic() + PATIENCE, ""
        while time.monotonic() < deadline:
            try:
                status, said = self._consul.once("PUT", f"/v1/agent/service/{path}", body)
                if status == 200:
                    return True
            except OSError as error:
                said = str(error)
            time.sleep(0.1)
        self.refused.append(f"Consul: {path}: {said}")
        return False

    def _pause(self) -> None:
        until = time.monotonic() + self._every
        while time.monotonic() < until and not self._ending.wait(0.02):
            self._look()

    def _whole(self, number: int) -> bool:
        return any(
            len(change.seen) == len(self._ctls) for change in self.changes if change.number == number and change.joins
        )

    def _open(self) -> bool:
        """Whether one was not seen, or is not so now."""
        unseen = any(len(change.seen) < len(self._ctls) for change in self.changes)
        return unseen or any(held != self._registered() for _, held in self._held())

    def _registered(self) -> set[int]:
        left = {change.number for change in self.changes if not change.joins}
        return {change.number for change in self.changes if change.joins} - left

    def _held(self) -> Iterator[tuple[str, set[int]]]:
        """By node; none of one whose Kamailio does not answer now."""
        for node, sampler in self._samplers.items():
            memory = sampler.now()
            if memory is not None:
                numbers = {int(uri.rpartition(":")[2]) - FIRST_PORT for uri in uris(memory, self._setid)}
                yield node, {number for number in numbers if number >= self._first}

    def _look(self) -> None:
        for node, held in self._held():
            for change in self.changes:
                if node not in change.seen and (change.number in held) is change.joins:
                    change.seen[node] = time.monotonic() - change.at

    def start(self) -> Self:
        self._samplers = {
            node: self._stack.enter_context(Sampler(ctl, Rpc.dispatcher, 0.05)) for node, ctl in self._ctls.items()
        }
        return super().start()

    def stop(self) -> None:
        super().stop()
        self._stack.close()
