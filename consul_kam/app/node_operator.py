"""An operator's words about the node's programs, over the control socket; on the decision thread."""

import time
from dataclasses import dataclass, field
from typing import Any

from consul_kam.adapters import processes
from consul_kam.adapters.control import Reply
from consul_kam.app.children import KamailioChild
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.node import Node
from consul_kam.core.service import Service, Stage
from consul_kam.core.world import KAMAILIO
from consul_kam.errors import ConsulKamError

LONGEST = 55.0
"""Seconds that a restart may take until its reply; the control socket gives up at 60."""


@dataclass(eq=False, slots=True)
class _Restart:
    """One that waits for the program to come up again. `before`: the process that was there."""

    name: str
    before: int
    reply: Reply


@dataclass
class NodeOperator:
    """`node` is None for a detached engine, which has no programs."""

    loop: Loop
    node: Node | None
    _restarts: list[_Restart] = field(default_factory=list)
    _worker: Worker | None = None

    def __post_init__(self) -> None:
        if self.node is not None:
            self.node.supervisor.listeners.append(self._changed)

    def ps(self, request: dict[str, object], reply: Reply) -> None:
        """What each program needs is looked up beside the decision thread: that takes some milliseconds."""
        if self.node is None:
            reply({"ok": True, "processes": []})
            return
        node = self.node
        told = [(entry, node.supervisor.identity(str(entry["name"]))) for entry in node.supervisor.processes()]
        self._worker = self._worker or Worker("ps")
        rest = {key: value for key, value in node.status().items() if key != "processes"}
        self._worker.submit(lambda: reply({"ok": True, **rest, "processes": [_with_facts(*each) for each in told]}))

    def restart(self, request: dict[str, object], reply: Reply) -> None:
        """Replies once it has come up again, or has not. A configuration that is wrong is refused before the end."""
        name = request.get("process") or KAMAILIO
        node = self.node
        if node is None or not isinstance(name, str):
            raise ConsulKamError(f"cannot restart {name}: this engine has started no programs")
        if name not in node.supervisor.names:
            node.programs.restart(name)
        child = node.supervisor.child(name)
        if isinstance(child, KamailioChild):
            child.forgive()
            node.supervisor.beside(name, lambda: self._checked(node, child, reply))
        else:
            self._begin(node, name, reply)

    def _checked(self, node: Node, child: KamailioChild, reply: Reply) -> None:
        """On Kamailio's worker."""
        try:
            wrong = child.complaint()
        except ConsulKamError as error:
            wrong = str(error)
        if wrong:
            reply({"ok": False, "error": f"cannot restart kamailio: {wrong}; it goes on as it was"})
        else:
            self.loop.post(lambda: self._begin(node, child.name, reply))

    def _begin(self, node: Node, name: str, reply: Reply) -> None:
        waiting = _Restart(name, node.supervisor.service(name).pid, reply)
        self._restarts.append(waiting)
        self.loop.at(time.monotonic() + LONGEST, lambda: self._late(waiting))
        node.programs.restart(name)

    def _late(self, waiting: _Restart) -> None:
        if waiting in self._restarts:
            self._restarts.remove(waiting)
            waiting.reply({"ok": False, "error": f"cannot say that {waiting.name} is up: it still starts"})

    def _changed(self, name: str, service: Service) -> None:
        for waiting in [each for each in self._restarts if each.name == name]:
            if service.stage is Stage.RUNNING and service.pid != waiting.before:
                self._restarts.remove(waiting)
                waiting.reply(self._came_up(name, service))
            elif service.stage in (Stage.FAILED, Stage.BACKOFF, Stage.STOPPED):
                self._restarts.remove(waiting)
                waiting.reply({"ok": False, "error": f"cannot start {name} again: {service.why}"})

    def _came_up(self, name: str, service: Service) -> dict[str, Any]:
        assert self.node is not None
        child = self.node.supervisor.child(name)
        standin = child.standin if isinstance(child, KamailioChild) else ""
        if standin:
            return {
                "ok": False,
                "error": f"cannot start kamailio on its new configuration: {standin}; the previous one runs",
            }
        return {"ok": True, "process": name, "pid": service.pid}


def _with_facts(entry: dict[str, Any], identity: processes.Identity | None) -> dict[str, Any]:
    facts = processes.facts(identity) if identity is not None else None
    if facts is None:
        return {**entry, "rss": None, "cpu": None, "members": 0}
    return {**entry, "rss": facts.rss, "cpu": facts.cpu, "members": facts.members}
