"""The shell of supervision: events from processes, probes and operators go to `core.supervise`, its actions to workers.

Everything but what a worker does happens on the decision thread.
"""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consul_kam.adapters import processes
from consul_kam.adapters.processes import Identity
from consul_kam.adapters.watcher import Watcher
from consul_kam.app.children import Child
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.core import service as s
from consul_kam.core.service import Service, Stage
from consul_kam.core.supervise import step
from consul_kam.core.world import ProcessFacts
from consul_kam.errors import ConsulKamError

LOOK, LONGEST_LOOK = 0.02, 0.25
"""Seconds between two looks whether a program is ready: the first, and at most."""
CLOSING = 70.0
"""Seconds that a start under way may need at most: `kamailio -c` has 60."""
FIGURES = 15.0
"""Seconds between two looks at what a program uses."""
LOUD = ("ended", "killed", "crash loop", "failed")

Before = Callable[[Child, Callable[[], None]], None]
"""Called before each spawn; the second argument goes on with it, from any thread."""


@dataclass(slots=True)
class _Kept:
    """One program. `identity`: the process that is there, or was last."""

    child: Child
    worker: Worker
    service: Service = field(default_factory=Service)
    identity: Identity | None = None
    adopted: bool = False
    stopped: list[Callable[[], None]] = field(default_factory=list)


class Supervisor:
    """Keeps the programs that it was told to start. `gave_up`: called with the reason, in a crash loop that ends it."""

    def __init__(
        self, loop: Loop, reporter: Reporter, children: Sequence[Child], before: Before, gave_up: Callable[[str], None]
    ) -> None:
        self._loop, self._reporter, self._before, self._gave_up = loop, reporter, before, gave_up
        self._kept = {child.name: _Kept(child, Worker(child.name)) for child in children}
        self._watcher = Watcher()
        self._closed = False
        self.listeners: list[Callable[[str, Service], None]] = []
        """Called after a program came to another stage."""

    # -- what may be asked for ----------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Have it run from now on: the one that a supervisor before us left, or a new one."""
        kept = self._kept[name]
        found = processes.recorded(kept.child.record)
        if kept.service.stage is Stage.STOPPED and found is not None and processes.alive(found):
            kept.identity, kept.adopted = found, True
            self._event(kept, s.Adopted(found.pid))
            self._attend(kept, found)
        else:
            if found is not None:
                processes.reap(found)
            self._event(kept, s.StartRequested())

    def runs_already(self, name: str) -> bool:
        """Whether a supervisor before us left one that lives."""
        found = processes.recorded(self._kept[name].child.record)
        return found is not None and processes.alive(found)

    def stop(self, name: str, why: str, then: Callable[[], None]) -> None:
        """Have it run no more; `then` once it is gone."""
        kept = self._kept[name]
        kept.stopped.append(then)
        self._event(kept, s.StopRequested(why))

    def restart(self, name: str, why: str, blame: bool) -> None:
        """`blame`: for a fault of its own, which counts as a crash."""
        self._event(self._kept[name], s.RestartRequested(why, blame))

    def kill(self) -> None:
        """Whatever is still there ends at once."""
        for kept in self._kept.values():
            if kept.identity is not None and kept.service.pid:
                processes.kill(kept.identity)

    def beside(self, name: str, job: Callable[[], None]) -> None:
        """Have the program's own worker do something, between its starts."""
        self._kept[name].worker.submit(job)

    def service(self, name: str) -> Service:
        return self._kept[name].service

    def child(self, name: str) -> Child:
        return self._kept[name].child

    def adopted(self, name: str) -> bool:
        """Whether a supervisor before us started the one that is there."""
        return self._kept[name].adopted

    def identity(self, name: str) -> Identity | None:
        """From any thread: the process that is there."""
        kept = self._kept.get(name)
        return kept.identity if kept is not None and kept.service.pid else None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._kept)

    @property
    def pids(self) -> frozenset[int]:
        """Children of ours that the watcher waits for."""
        return self._watcher.pids

    def processes(self) -> list[dict[str, Any]]:
        """Each program, as `status` says it; times of the wall clock."""
        ahead = time.time() - time.monotonic()
        return [
            {
                "name": name,
                "state": kept.service.stage.value,
                "pid": kept.service.pid or None,
                "since": kept.service.since + ahead,
                "restarts": kept.service.restarts,
                "adopted": kept.adopted,
                "reason": kept.service.why,
            }
            for name, kept in self._kept.items()
        ]

    def close(self) -> None:
        """Let go of them: they live on, and the next supervisor adopts them. A start that is under way is waited for:
        the next one would not know of it.
        """
        self._closed = True
        self._watcher.close()
        for kept in self._kept.values():
            kept.worker.close(CLOSING)

    # -- events and actions -------------------------------------------------------------------------------------------

    def _event(self, kept: _Kept, event: s.Event) -> None:
        before = kept.service
        kept.service, actions = step(before, event, time.monotonic(), kept.child.policy)
        if _did_not_come_up(before, event, kept.service):
            kept.worker.submit(kept.child.did_not)
        for action in actions:
            self._do(kept, action)
        if kept.service.stage is not before.stage or kept.service.pid != before.pid:
            for listener in self.listeners:
                listener(kept.child.name, kept.service)
        if kept.service.stage in (Stage.STOPPED, Stage.FAILED):
            stopped, kept.stopped = kept.stopped, []
            for then in stopped:
                then()

    def _do(self, kept: _Kept, action: s.Action) -> None:
        match action:
            case s.Spawn(op):
                self._before(kept.child, lambda: kept.worker.submit(lambda: self._spawn(kept, op)))
            case s.Stop(pid):
                processes.signal_process(pid, kept.child.stop_signal)
            case s.Kill():
                if kept.identity is not None:
                    processes.kill(kept.identity)
            case s.Arm(op, at):
                self._loop.at(at, lambda: self._event(kept, s.Due(op)))
            case s.Announce(word, why):
                self._announce(kept, word, why)
            case s.GiveUp(why):
                self._gave_up(f"{kept.child.name} {why}")

    def _announce(self, kept: _Kept, word: str, why: str) -> None:
        facts: dict[str, Any] = {"process": kept.child.name, "pid": kept.service.pid or None, "reason": why or None}
        self._reporter.tell(word, "warning" if word in LOUD else "info", **{k: v for k, v in facts.items() if v})

    # -- on the program's worker --------------------------------------------------------------------------------------

    def _spawn(self, kept: _Kept, op: int) -> None:
        child = kept.child
        try:
            last = processes.recorded(child.record)
            if last is not None:
                processes.empty(last)
            argv, environment = child.launch()
            if self._closed:
                return
            started = processes.spawn(argv, child.record, environment)
        except ConsulKamError as error:
            self._failed(kept, op, str(error))
        except OSError as error:
            self._failed(kept, op, f"cannot start {child.name}: {error.filename or ''}: {error.strerror}")
        else:
            self._loop.post(lambda: self._spawned(kept, op, started))

    def _failed(self, kept: _Kept, op: int, why: str) -> None:
        self._loop.post(lambda: self._event(kept, s.SpawnFailed(op, why, random.random())))

    def _spawned(self, kept: _Kept, op: int, started: Identity) -> None:
        kept.identity, kept.adopted = started, False
        self._event(kept, s.Spawned(op, started.pid))
        self._attend(kept, started)

    def _attend(self, kept: _Kept, started: Identity) -> None:
        self._watcher.watch(started.pid, lambda how: self._ended(kept, started, how))
        self._look(kept, started, LOOK)

    def _ended(self, kept: _Kept, ended: Identity, how: str) -> None:
        """On the watcher's thread. What is left of its group goes at once, not only before the next start."""

        def rest() -> None:
            try:
                processes.empty(ended)
            except ConsulKamError as error:
                self._reporter.tell(str(error), "error")

        self._loop.post(lambda: self._event(kept, s.Exited(ended.pid, how, random.random())))
        kept.worker.submit(rest)

    def _look(self, kept: _Kept, started: Identity, wait: float) -> None:
        """Is it ready? Asked again until it is, or is not there any more."""

        def job() -> None:
            answers = kept.child.answers()
            if answers:
                self._come_up(kept)
            self._loop.post(lambda: self._looked(kept, started, wait, answers))

        if kept.service.pid == started.pid and kept.service.stage is Stage.STARTING:
            kept.worker.submit(job)

    def _looked(self, kept: _Kept, started: Identity, wait: float, answers: bool) -> None:
        if answers:
            self._event(kept, s.Ready(started.pid))
        else:
            longer = min(wait * 1.5, LONGEST_LOOK)
            self._loop.at(time.monotonic() + wait, lambda: self._look(kept, started, longer))

    def _come_up(self, kept: _Kept) -> None:
        try:
            kept.child.came_up()
        except (OSError, ConsulKamError) as error:
            self._reporter.tell(f"cannot keep what {kept.child.name} came up with: {error}", "warning")


def _did_not_come_up(before: Service, event: s.Event, after: Service) -> bool:
    """It ended by itself, or was too slow; not: it was asked to end."""
    if before.stage is not Stage.STARTING or not before.pid:
        return False
    return after.stage is Stage.KILLING or (isinstance(event, s.Exited) and event.pid == before.pid)


class Usage:
    """What each program uses, for the probe of programs; from any thread. Whether it lives is looked at each time, the
    figures each FIGURES s, since they take a look at every process of the host.
    """

    def __init__(self, identity: Callable[[str], Identity | None]) -> None:
        self._identity = identity
        self._known: dict[str, tuple[float, Identity, processes.Facts]] = {}

    def of(self, name: str) -> ProcessFacts | None:
        """None while there is none."""
        identity = self._identity(name)
        if identity is None:
            return None
        if not processes.alive(identity):
            return ProcessFacts(identity.pid, alive=False)
        at, known, facts = self._known.get(name, (0.0, None, None))
        if known != identity or time.monotonic() - at >= FIGURES:
            facts = processes.facts(identity)
            if facts is not None:
                self._known[name] = (time.monotonic(), identity, facts)
        return (
            ProcessFacts(identity.pid, True, False, facts.rss, facts.cpu) if facts else ProcessFacts(identity.pid, True)
        )
