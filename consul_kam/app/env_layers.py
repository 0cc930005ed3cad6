"""KV's layers as they stand: followed by blocking queries, so that a change is known at once, and Consul has peace.

[Consul HTTP API, Blocking Queries]
"""

import time
from collections.abc import Callable

from consul_kam.adapters import consul_kv
from consul_kam.adapters.consul import Consul
from consul_kam.app.loop import Loop, Worker
from consul_kam.config import Settings
from consul_kam.core.env import Layer
from consul_kam.errors import ConsulError

PACE = 1.0
"""Seconds between two questions at least: a store that changes all the time, or is away, is not run over."""
WAIT = 30.0
"""Seconds in which Consul answers where nothing changes. Rights that a token lost show no sooner, nor does an agent
that stands still."""


class Layers:
    """Every method on the decision thread, where `changed` is called as soon as `now` is another."""

    def __init__(
        self, loop: Loop, settings: Settings, consul: Callable[[], Consul], changed: Callable[[], None]
    ) -> None:
        """`consul` makes a client: each layer has its own."""
        self._each = [_Followed(loop, settings, prefix, consul, changed) for prefix in settings.env.layers]

    def start(self) -> None:
        for each in self._each:
            each.ask()

    def close(self) -> None:
        for each in self._each:
            each.close()

    def now(self) -> list[Layer] | str | None:
        """All of them, the weakest first, or why one is not known; None before each has been asked once."""
        found: list[Layer] = []
        for each in self._each:
            if not isinstance(each.found, Layer):
                return each.found
            found.append(each.found)
        return found


class _Followed:
    """One layer. `found`: it, or why it is not known; None before the first answer."""

    def __init__(
        self, loop: Loop, settings: Settings, prefix: str, consul: Callable[[], Consul], changed: Callable[[], None]
    ) -> None:
        self._loop, self._changed = loop, changed
        self._prefix, self._datacenter = prefix, settings.consul.datacenter
        self._make = consul
        self._client: Consul | None = None
        self._worker = Worker(f"env {prefix}")
        self._index = 0
        self._closed = False
        self.found: Layer | str | None = None

    def close(self) -> None:
        """The question under way is left alone: it may last WAIT."""
        self._closed = True
        self._worker.close(0.0)

    def ask(self) -> None:
        asked, after = time.monotonic(), self._index
        self._worker.submit(lambda: self._ask(after, asked))

    def _ask(self, after: int, asked: float) -> None:
        """On the worker."""
        found: Layer | str
        try:
            self._client = self._client or self._make()
            kept = consul_kv.read(self._client, self._prefix, self._datacenter, after, WAIT)
            found, index = kept.layer, kept.index
        except ConsulError as error:
            found, index = str(error), 0
        self._loop.post(lambda: self._answered(found, index, asked))

    def _answered(self, found: Layer | str, index: int, asked: float) -> None:
        if self._closed:
            return
        # An index that went back is another store's: nothing would ever be newer than the old one there.
        self._index = index if index >= self._index else 0
        before, self.found = self.found, found
        self._loop.at(asked + PACE, self.ask)
        if found != before:
            self._changed()
