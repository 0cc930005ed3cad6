"""Is Kamailio there, and still the same one? A look a second tells of its death and its return."""

import time

from consul_kam.app.engine import Engine
from consul_kam.core import events
from consul_kam.core.events import Event
from consul_kam.errors import RpcError, RpcTimeout, RpcUnreachable

PING = 1.0
"""Seconds between looks."""


class Heartbeat:
    """Tells every dataset's machine of KamailioDown and KamailioUp."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen: tuple[int, str] | None = None
        self._number = 0
        self.up: bool | None = None
        self.up_since = ""
        self.trouble = ""

    def start(self) -> None:
        """Look now, and from then on by itself."""
        if self._engine.lanes:
            self._ping(self._number)

    def look(self) -> None:
        """Look now, as it has just come up."""
        self._number += 1
        self.start()

    def gone(self, why: str) -> None:
        """Its process has ended: there is no need to ask."""
        self._tell(None, why)

    def _ping(self, number: int) -> None:
        """Of several rounds of looks the newest goes on."""
        if number != self._number:
            return
        rpc = next(iter(self._engine.lanes.values())).work.rpc

        def job() -> None:
            try:
                reply = rpc.call("core.uptime", deadline=2.0)
            except (RpcUnreachable, RpcTimeout) as error:
                self._engine.loop.post(lambda error=error: self._pong(number, None, str(error)))  # type: ignore[misc]
            except RpcError as error:
                self._engine.loop.post(lambda error=error: self._pong(number, (rpc.generation, ""), str(error)))  # type: ignore[misc]
            else:
                since = dict(reply[0]).get("up_since", "") if reply and isinstance(reply[0], tuple) else ""
                self._engine.loop.post(lambda: self._pong(number, (rpc.generation, str(since)), ""))

        self._engine.rpc.submit(job)

    def _pong(self, number: int, seen: tuple[int, str] | None, trouble: str) -> None:
        if number == self._number:
            self._tell(seen, trouble)
            self._engine.loop.at(time.monotonic() + PING, lambda: self._ping(number))

    def _tell(self, seen: tuple[int, str] | None, trouble: str) -> None:
        self.trouble = trouble
        event: Event | None = None
        if seen is None:
            event = events.KamailioDown(trouble) if self.up is not False else None
        elif self.up is not True or self._seen != seen:
            event = events.KamailioUp() if self._seen is not None or self.up is False else None
        if seen is not None:
            self._seen, self.up_since = seen, seen[1]
        self.up = seen is not None
        if event is not None:
            for lane in self._engine.lanes.values():
                self._engine.handle(lane, event)
