"""KV's layers as they stand. Blocking queries, one a layer, tell that one changed; then all are read, in their order.

Who moves a variable puts it into the stronger layer before it goes from the weaker one: read in turn, the weakest
first, it is in one of them at least. [Consul HTTP API, Blocking Queries]
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
"""Seconds in which Consul answers where nothing changes. Rights that a token lost show by the second answer, an agent
that stands still by the first that does not come."""


class Layers:
    """Every method on the decision thread, where `changed` is called as soon as `now` is another."""

    def __init__(
        self, loop: Loop, settings: Settings, consul: Callable[[], Consul], changed: Callable[[], None]
    ) -> None:
        """`consul` makes a client: whoever waits has its own."""
        self._loop, self._changed, self._make = loop, changed, consul
        self._prefixes, self._datacenter = settings.env.layers, settings.consul.datacenter
        self._bells = [_Bell(loop, settings, prefix, consul, self._look) for prefix in self._prefixes]
        self._worker = Worker("env layers")
        self._client: Consul | None = None
        self._busy = self._again = self._closed = False
        self._now: list[Layer] | str | None = None if self._prefixes else []

    def start(self) -> None:
        for bell in self._bells:
            bell.ask()

    def close(self) -> None:
        """Questions under way are left alone: they may last WAIT."""
        self._closed = True
        for bell in self._bells:
            bell.close()
        self._worker.close(0.0)

    def now(self) -> list[Layer] | str | None:
        """All of them, the weakest first, or why one is not known; None before they were asked for."""
        return self._now

    def _look(self) -> None:
        self._again = self._busy
        if not self._busy and not self._closed:
            self._busy = True
            self._worker.submit(self._read)

    def _read(self) -> None:
        """On the worker."""
        found: list[Layer] | str
        try:
            client = self._client = self._client or self._make()
            found = consul_kv.layers(client, self._prefixes, self._datacenter)
        except ConsulError as error:
            found = str(error)
        self._loop.post(lambda: self._have(found))

    def _have(self, found: list[Layer] | str) -> None:
        if self._closed:
            return
        self._busy = False
        if self._again:
            self._look()
        if isinstance(found, str):  # no bell may ring when it would succeed
            self._loop.at(time.monotonic() + PACE, self._look)
        before, self._now = self._now, found
        if found != before:
            self._changed()


class _Bell:
    """Rings, by `changed`, where a layer is another one, or is not known any more, or again."""

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
        self._found: Layer | str | None = None

    def close(self) -> None:
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
        before, self._found = self._found, found
        self._loop.at(asked + PACE, self.ask)
        if found != before:
            self._changed()
