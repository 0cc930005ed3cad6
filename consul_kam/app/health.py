"""Runs the probes: a thread each, so that one that hangs holds up neither the others nor a release.

A look starts each period. One that is not back in time is counted as bad, and again each period until it is back, if
ever: it is not started twice.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from consul_kam.app.loop import Loop, Worker
from consul_kam.config import Settings
from consul_kam.core import health
from consul_kam.core.health import GRACE, Outcome, Plan, ProbeState
from consul_kam.core.world import World
from consul_kam.probes import probes


@dataclass(slots=True)
class _Running:
    """One probe. `number` counts the looks; `busy` while one is under way: it is `late` once it was counted as bad, and
    `stale` where it began before a restart of what it looks at.
    """

    plan: Plan
    worker: Worker
    state: ProbeState
    number: int = 0
    busy: bool = False
    late: bool = False
    stale: bool = False


class Health:
    """How the node is. Made, asked and listened to on the decision thread; `world` is asked by the probes' threads."""

    def __init__(self, loop: Loop, settings: Settings, world: World) -> None:
        self._loop, self._world = loop, world
        self._open = False
        now, node = time.time(), world.node
        chosen = [
            health.plan(probe, node, settings.probes.get(name), now)
            for name, probe in probes().items()
            if health.runs(probe, node, settings.probes.get(name))
        ]
        self._probes = {
            plan.probe.name: _Running(plan, Worker(f"probe-{plan.probe.name}"), plan.state) for plan in chosen
        }
        self._gates: dict[str, Callable[[], str]] = {}
        self.starts: Callable[[str], bool] = lambda target: False
        """Whether that program is not up because somebody sees to it."""
        self.listeners: list[Callable[[ProbeState], None]] = []
        """Called on the decision thread when a probe turns healthy or unhealthy."""

    def start(self) -> None:
        """The first looks now, further ones by themselves."""
        self._open = True
        for name in self._probes:
            self._due(name, time.monotonic())

    def close(self) -> None:
        """No further looks. What hangs is left behind: its thread is a daemon."""
        self._open = False
        for running in self._probes.values():
            running.worker.close(0.0)

    def add_gate(self, name: str, why: Callable[[], str]) -> None:
        """`why` may hold readiness back: it says the reason, or ""."""
        self._gates[name] = why

    def restarted(self, target: str) -> None:
        """A program was started anew: what was known of it is known no longer, and looks count from the start."""
        for running in self._probes.values():
            if running.state.target == target:
                running.state = health.unknown(running.state, time.time())
                running.stale = running.busy

    @property
    def states(self) -> Mapping[str, ProbeState]:
        """Those that run here, by name."""
        return {name: running.state for name, running in self._probes.items()}

    @property
    def reasons(self) -> dict[str, str]:
        """Probe or gate -> why the node is not ready."""
        return {**self.held(), **health.reasons(self.states.values())}

    def held(self, but: Collection[str] = ()) -> dict[str, str]:
        """Gate -> why it holds the node back."""
        return {name: reason for name, why in self._gates.items() if name not in but and (reason := why())}

    @property
    def ready(self) -> bool:
        """Whether the node may get calls: each probe that counts was healthy and is, and no gate holds it back."""
        return not self.reasons

    def alive(self) -> bool:
        """Whether the node does its work at all. That a program is being started is no sign of death."""
        return health.alive(state for state in self.states.values() if not self.starts(state.target))

    # -- one look after the other -------------------------------------------------------------------------------------

    def _due(self, name: str, at: float) -> None:
        """At monotonic time `at`, and each period from then on."""
        if not self._open:
            return
        running = self._probes[name]
        if not running.busy:
            self._look(name, running)
        elif running.late:
            self._count(running, health.late(running.plan.timeout), running.plan.timeout)
        after = max(at + running.plan.period, time.monotonic())
        self._loop.at(after, lambda: self._due(name, after))

    def _look(self, name: str, running: _Running) -> None:
        running.number += 1
        running.busy, running.late, running.stale = True, False, False
        number, plan = running.number, running.plan

        def job() -> None:
            started = time.monotonic()
            outcome = health.look(plan.probe, self._world, plan.timeout)
            took = time.monotonic() - started
            self._loop.post(lambda: self._looked(running, outcome, took))

        running.worker.submit(job)
        self._loop.at(time.monotonic() + plan.timeout + GRACE, lambda: self._hangs(running, number))

    def _hangs(self, running: _Running, number: int) -> None:
        if self._open and running.busy and running.number == number:
            running.late = True
            self._count(running, health.late(running.plan.timeout), running.plan.timeout)

    def _looked(self, running: _Running, outcome: Outcome, took: float) -> None:
        running.busy = False
        if self._open and not running.late and not running.stale:
            self._count(running, health.timed(outcome, took, running.plan.timeout), took)

    def _count(self, running: _Running, outcome: Outcome, took: float) -> None:
        before = running.state.healthy
        running.state = health.step(running.state, outcome, time.time(), took * 1000)
        if running.state.healthy is not before:
            for listener in self.listeners:
                listener(running.state)
