"""An operator's words over the control socket. Each handler runs in the loop."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consul_kam import __version__
from consul_kam.adapters.control import Reply
from consul_kam.app import views
from consul_kam.app.drain_operator import DrainOperator
from consul_kam.app.engine import Engine, Lane
from consul_kam.app.explaining import Explainer
from consul_kam.app.freshness import Freshness, Looked
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.intake import Intake
from consul_kam.app.node import Node
from consul_kam.app.node_operator import NodeOperator
from consul_kam.app.ordering import Ordering
from consul_kam.app.stored import DAMAGED, restored
from consul_kam.core import events
from consul_kam.core.events import Phase
from consul_kam.errors import ConsulKamError

SETTLED = (Phase.IDLE, Phase.DEGRADED, Phase.WAITING)
"""Phases in which there is a verdict: published or held, degraded, busy or blocked."""


DIFF_WAIT = 5.0
"""Seconds at most until a diff is answered, whether memory could be read or not."""


@dataclass(slots=True)
class _Diff:
    """A diff that waits for memory to be read; times are monotonic, s."""

    lanes: list[Lane]
    reply: Reply
    since: float = field(default_factory=time.monotonic)
    asked: set[str] = field(default_factory=set)
    """Datasets that were told to read."""


LONGEST = 60.0
"""Seconds that a request for verdicts may wait; the control socket waits no longer either."""


class Operator:
    """Answers requests; the protocol is described in consul_kam.adapters.control."""

    def __init__(
        self,
        engine: Engine,
        intake: Intake,
        heartbeat: Heartbeat,
        freshness: Freshness,
        ordering: Ordering,
        node: Node | None,
        rpc: str,
    ) -> None:
        """`node`: None for a detached engine."""
        self._engine, self._intake, self._heartbeat = engine, intake, heartbeat
        self._freshness, self._ordering = freshness, ordering
        self._rpc, self._node, self._since = rpc, node, time.time()
        of_node, of_drain = NodeOperator(engine.loop, node), DrainOperator(node)
        self._waiting: list[tuple[float, Reply]] = []
        self._diffs: list[_Diff] = []
        self._later = {
            "apply": self._apply, "diff": self._diff, "status": self._status,
            "ps": of_node.ps, "restart": of_node.restart, **of_drain.verbs,
            "explain": Explainer(engine, ordering).explain,
        }  # fmt: skip
        self._verbs: dict[str, Callable[[dict[str, object]], dict[str, Any]]] = {
            "history": self._history, "rollback": self._rollback,
            "approve": self._approve, "pause": self._pause, "resume": self._resume, "stop": self._stop,
        }  # fmt: skip
        engine.after += [self._settle, self._show_diffs]

    def handle(self, request: dict[str, object], reply: Reply) -> None:
        """From the control thread: never blocks."""
        self._engine.loop.post(lambda: self._answer(request, reply))

    def _answer(self, request: dict[str, object], reply: Reply) -> None:
        verb = str(request.get("do"))
        later, call = self._later.get(verb), self._verbs.get(verb)
        try:
            if later is not None:
                later(request, reply)
                return
            if call is None:
                raise ConsulKamError(f"cannot {verb}: expected one of {', '.join((*self._later, *self._verbs))}")
            reply({"ok": True, **call(request)})
        except ConsulKamError as error:
            reply({"ok": False, "error": str(error)})
        except OSError as error:
            reply({"ok": False, "error": f"cannot {verb}: {error.filename}: {error.strerror}"})

    # -- status: with a look at Consul for whoever wants that ---------------------------------------------------------

    def _status(self, request: dict[str, object], reply: Reply) -> None:
        """`"consul": true` costs a run of consul-template, so programs that ask often leave it out."""
        lanes = self._lanes(request)
        if request.get("consul") is True:
            self._freshness.ask(lambda looked: reply({"ok": True, **self._at_a_glance(lanes, looked)}))
        else:
            reply({"ok": True, **self._at_a_glance(lanes, None)})

    # -- apply: a verdict for whoever waits --------------------------------------------------------------------------

    def _apply(self, request: dict[str, object], reply: Reply) -> None:
        wait = request.get("wait", 2.0)
        until = time.monotonic() + (wait if isinstance(wait, (int, float)) and 0 <= wait <= LONGEST else 2.0)
        self._intake.scan_all()
        self._intake.then(lambda: self._await(until, reply))

    def _await(self, until: float, reply: Reply) -> None:
        self._waiting.append((until, reply))
        self._engine.loop.at(until, lambda: None)

    def _settle(self) -> None:
        if not self._waiting:
            return
        missing = [name for name, lane in self._engine.lanes.items() if not _settled(lane)]
        now = time.monotonic()
        due = [entry for entry in self._waiting if not missing or now >= entry[0]]
        if due:
            self._waiting = [entry for entry in self._waiting if entry not in due]
            verdicts = [_verdict(lane) for name, lane in self._engine.lanes.items() if name not in missing]
            for _, reply in due:
                reply({"ok": True, "verdicts": verdicts, "waiting": missing})

    # -- diff: of memory as it is now ---------------------------------------------------------------------------------

    def _diff(self, request: dict[str, object], reply: Reply) -> None:
        diff = _Diff(self._lanes(request), reply)
        self._diffs.append(diff)
        self._engine.loop.at(diff.since + DIFF_WAIT, lambda: None)

    def _show_diffs(self) -> None:
        now = time.monotonic()
        for diff in list(self._diffs):
            said = [self._read_anew(diff, lane) for lane in diff.lanes]
            if all(said) or now >= diff.since + DIFF_WAIT:
                self._diffs.remove(diff)
                diff.reply({"ok": True, "datasets": [views.diff(lane, diff.since) for lane in diff.lanes]})

    def _read_anew(self, diff: _Diff, lane: Lane) -> bool:
        """Whether all is said: memory was read since, or cannot be read now, as in a closed window."""
        name = lane.pipeline.dataset.name
        if name not in diff.asked and lane.pipeline.state.phase in SETTLED:
            diff.asked.add(name)
            self._engine.handle(lane, events.Tick())
        return name in diff.asked and lane.pipeline.state.phase in SETTLED

    # -- the rest -----------------------------------------------------------------------------------------------------

    def _at_a_glance(self, lanes: list[Lane], looked: Looked | None) -> dict[str, Any]:
        beat = self._heartbeat
        return {
            "version": __version__,
            "pid": os.getpid(),
            "since": self._since,
            "detached": self._node is None,
            "node": self._node.status() if self._node is not None else None,
            "kamailio": {
                "rpc": self._rpc,
                "reachable": bool(beat.up),
                "up_since": beat.up_since,
                "trouble": beat.trouble,
            },
            "order": {"datasets": self._ordering.names, "wait": self._ordering.patience},
            "datasets": [views.status(lane, looked, self._ordering) for lane in lanes],
        }

    def _history(self, request: dict[str, object]) -> dict[str, Any]:
        limit, since = request.get("limit", 20), request.get("since")
        releases = {lane.pipeline.dataset.name: lane.work.releases.names() for lane in self._lanes(request)}
        one = next(iter(releases)) if request.get("dataset") is not None else None
        entries = self._engine.reporter.tail(
            limit if isinstance(limit, int) else 20, one, float(since) if isinstance(since, int | float) else 0.0
        )
        return {"entries": entries, "releases": releases}

    def _rollback(self, request: dict[str, object]) -> dict[str, Any]:
        lane = self._one(request)
        releases, wanted = lane.work.releases, request.get("release")
        earlier = releases.before(lane.pipeline.pinned) or ""
        if wanted is None and not earlier:
            raise ConsulKamError("cannot roll back: there is no earlier release; see `consul-kam history`")
        found = [name for name in releases.names() if str(wanted) in (name, *name.split("-"))]
        name = earlier if wanted is None else found[-1] if found else ""
        stored = releases.load(name) if name else None
        if stored is None:
            raise ConsulKamError(f"cannot roll back: no release {wanted}; see `consul-kam history`")
        try:
            release = restored(lane.pipeline.dataset, stored)
        except DAMAGED as error:
            raise ConsulKamError(f"cannot roll back to {name}: {error}") from error
        self._engine.do(lane, lane.pipeline.pin(name, release, time.monotonic()))
        return self._said(lane, "rollback", release=name)

    def _approve(self, request: dict[str, object]) -> dict[str, Any]:
        for lane in self._lanes(request):
            self._engine.do(lane, lane.pipeline.approve(time.monotonic()))
            self._said(lane, "approve")
        return {"datasets": [lane.pipeline.dataset.name for lane in self._lanes(request)]}

    def _pause(self, request: dict[str, object]) -> dict[str, Any]:
        return self._halt(request, True)

    def _resume(self, request: dict[str, object]) -> dict[str, Any]:
        return self._halt(request, False)

    def _halt(self, request: dict[str, object], on: bool) -> dict[str, Any]:
        for lane in self._lanes(request):
            self._engine.do(lane, lane.pipeline.pause(on, time.monotonic()))
            self._said(lane, "pause" if on else "resume")
        return {"datasets": [lane.pipeline.dataset.name for lane in self._lanes(request)]}

    def _stop(self, request: dict[str, object]) -> dict[str, Any]:
        if self._node is not None:
            raise ConsulKamError(f"cannot stop: this engine (pid {os.getpid()}) was started by `consul-kam run`")
        self._engine.stop()
        return {"pid": os.getpid()}

    def _said(self, lane: Lane, word: str, **facts: str) -> dict[str, Any]:
        name = lane.pipeline.dataset.name
        self._engine.remember(lane)
        self._engine.reporter.note(name, word, **facts)
        return {"dataset": name, **facts}

    def _lanes(self, request: dict[str, object]) -> list[Lane]:
        return [self._one(request)] if request.get("dataset") is not None else list(self._engine.lanes.values())

    def _one(self, request: dict[str, object]) -> Lane:
        lanes = self._engine.lanes
        name = request.get("dataset") or next(iter(lanes), None)
        if not isinstance(name, str) or name not in lanes:
            raise ConsulKamError(f"cannot find dataset {name!r} among the enabled ones: {', '.join(lanes)}")
        return lanes[name]


def _settled(lane: Lane) -> bool:
    return lane.pipeline.state.phase in SETTLED and not lane.asked and not lane.pipeline.waits


def _verdict(lane: Lane) -> dict[str, Any]:
    verdict, release = lane.pipeline.verdict, lane.pipeline.state.target
    return {
        "dataset": lane.pipeline.dataset.name,
        "verdict": verdict.verdict.value if verdict is not None else "NONE",
        "release": release.digest[:12] if release is not None else "",
        "detail": verdict.reason if verdict is not None else "nothing is staged",
    }
