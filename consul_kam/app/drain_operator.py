"""An operator's words about leaving, over the control socket; on the decision thread."""

from collections.abc import Callable
from dataclasses import dataclass

from consul_kam.adapters.control import Reply
from consul_kam.app.drain import Draining
from consul_kam.app.node import Node
from consul_kam.errors import ConsulKamError

LONGEST = 86_400.0
"""Seconds that a deadline may be away."""
REASON = 200
"""Characters; it is shown to all of Consul's users."""


@dataclass
class DrainOperator:
    """`node` is None for a detached engine."""

    node: Node | None

    @property
    def verbs(self) -> dict[str, Callable[[dict[str, object], Reply], None]]:
        return {"drain": self._drain, "undrain": self._undrain, "draining": self._draining}

    def _drain(self, request: dict[str, object], reply: Reply) -> None:
        lasts, reason = request.get("lasts"), request.get("reason") or "drained by an operator"
        if lasts is not None and not (isinstance(lasts, int | float) and 0 < lasts <= LONGEST):
            raise ConsulKamError(f"cannot drain: expected a deadline of 1 to {LONGEST:g} s, got {lasts!r}")
        if not isinstance(reason, str) or not reason.isprintable() or len(reason) > REASON:
            raise ConsulKamError(f"cannot drain: expected a reason of one line, at most {REASON} characters")
        self._node().begin(reason, None if lasts is None else float(lasts), request.get("force") is True, reply)

    def _undrain(self, request: dict[str, object], reply: Reply) -> None:
        self._node().undo(reply)

    def _draining(self, request: dict[str, object], reply: Reply) -> None:
        """How far it is."""
        draining = self._node()
        node = self.node
        assert node is not None
        reply({"ok": True, "drain": draining.status(), "registration": node.registrar.status(), "unwell": node.unwell})

    def _node(self) -> Draining:
        if self.node is None or self.node.draining is None:
            raise ConsulKamError(
                "cannot drain: this engine has no [node] role, so its Kamailio's calls are not its own"
            )
        return self.node.draining
