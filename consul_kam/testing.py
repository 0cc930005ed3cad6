"""Fakes that ship: a Kamailio in memory behind the Rpc port, for tests of your own templates, datasets and policies."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from consul_kam.core.ports import Call, Reply, Value, one_after_the_other
from consul_kam.errors import RpcError, RpcFault

Handler = Callable[..., "tuple[Value, ...]"]
"""Takes the call's parameters, returns its values (the shapes of `core.ports.Value`) or raises RpcError."""


class FakeKamailio:
    """Implements Rpc: each method is answered by its handler, or fails as scripted.

    `handlers`: method -> handler; an absent one is the fault that Kamailio gives for it.
    `calls`: how often each method was called, failures included. `log`: every call, in order.
    """

    def __init__(self, handlers: Mapping[str, Handler] | None = None) -> None:
        self.handlers: dict[str, Handler] = {"core.uptime": self._core_uptime, **(handlers or {})}
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str | int, ...]] = []
        self.uptime = 0
        self._generation = 1
        self._failures: dict[str, list[tuple[RpcError, bool]]] = {}

    @property
    def generation(self) -> int:
        return self._generation

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        """As `Rpc.call`; `deadline` is not waited for: script an RpcTimeout instead."""
        self.calls[method] += 1
        self.log.append((method, *params))
        scripted = self._failures.get(method)
        error, carried_out = scripted.pop(0) if scripted else (None, True)
        handler = self.handlers.get(method)
        if handler is None and error is None:
            raise RpcFault(method, 500, f"command {method} not found")
        reply = handler(*params) if handler is not None and carried_out else ()
        if error is not None:
            raise error
        return reply

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        """As `Rpc.call_in_order`; what is scripted for one of the methods happens at its turn."""
        return one_after_the_other(self, calls, deadline)

    def close(self) -> None:
        """Nothing is open."""

    def fail_next(self, method: str, error: RpcError, carried_out: bool = False) -> None:
        """Let the next call of `method` raise `error`; several queue up.

        `carried_out`: the handler runs all the same, as when only the reply was lost.
        """
        self._failures.setdefault(method, []).append((error, carried_out))

    def restart(self) -> None:
        """A new connection from here on, uptime 0. What the handlers hold in memory is theirs to forget."""
        self._generation += 1
        self.uptime = 0

    def _core_uptime(self) -> tuple[Value, ...]:
        return ((("uptime", str(self.uptime)),),)


def dispatcher(sets: Mapping[int, list[tuple[str, str, int, str]]]) -> tuple[Value, ...]:
    """The reply of `dispatcher.list` (Kamailio 5.6) for setid -> (URI, FLAGS, PRIORITY, attrs) in memory's order.

    Of the attrs the BODY alone is given. Raises the fault that stands for "no sets".
    """
    if not sets:
        raise RpcFault("dispatcher.list", 500, "No Destination Sets")
    records = []
    for setid, destinations in sets.items():
        targets: tuple[tuple[str, Value], ...] = tuple(
            ("DEST", (("URI", uri), ("FLAGS", flags), ("PRIORITY", str(priority)), ("ATTRS", (("BODY", attrs),))))
            for uri, flags, priority, attrs in destinations
        )
        records.append(("SET", (("ID", str(setid)), ("TARGETS", targets))))
    return ((("NRSETS", str(len(sets))), ("RECORDS", tuple(records))),)
