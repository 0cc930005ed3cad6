"""What `run` does for a node beyond its lists: keeps its programs running, says how it is, and ends in order."""

import os
import time
from collections.abc import Callable
from typing import Any

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_agent import ConsulAgent
from consul_kam.adapters.processes import Reaper
from consul_kam.adapters.systemd import Notifier
from consul_kam.app.asking import Asker
from consul_kam.app.certificates import Certificates
from consul_kam.app.drain import Draining
from consul_kam.app.ending import Ending
from consul_kam.app.engine import Engine
from consul_kam.app.env import Environment
from consul_kam.app.freshness import Freshness
from consul_kam.app.health import Health
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.loop import Worker
from consul_kam.app.programs import Programs
from consul_kam.app.registration import Registrar
from consul_kam.app.resumed import Resumed
from consul_kam.app.secrets import Secrets
from consul_kam.app.supervisor import Usage
from consul_kam.app.world import NodeWorld
from consul_kam.config import Settings
from consul_kam.core.health import NONE, RESTART, ProbeState
from consul_kam.core.service import Service, Stage
from consul_kam.core.world import KAMAILIO

CRASH_LOOP = 75
"""Exit code: EX_TEMPFAIL of sysexits.h; who started us shall start us anew."""
DRAIN = "drain"
"""The gate of the probes; what is drained is well."""
EXTEND = 30.0
"""Seconds that a service manager gives us from each beat of an end that takes time."""
BEAT = 1.0
"""Seconds between two looks at what no event tells."""


class Node:
    """Made and used on the decision thread; `code` is what `run` ends with."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        heartbeat: Heartbeat,
        freshness: Freshness,
        consul: Callable[[], Consul],
        kept: tuple[Environment, Secrets, Certificates],
        notifier: Notifier,
        well: bool | None = None,
    ) -> None:
        """`consul` makes a client, for one user's use alone. `kept`: what is kept up to date beside the lists.

        `well`: how it was until SIGHUP; None: it begins.
        """
        self._engine, self._settings, self._heartbeat = engine, settings, heartbeat
        self._reporter, self._notifier = engine.reporter, notifier
        self.code = 0
        self.environment, self.secrets, self.certificates = environment, secrets, certificates = kept
        environment.left_before = secrets.left_before
        self._resumed = Resumed(well, secrets, environment, settings.env.origins)
        for name in settings.env.origins:
            secrets.subscribe(name, lambda _: environment.look())
        self.programs = Programs(engine, settings, freshness, environment, certificates, self._gave_up)
        self.supervisor = self.programs.supervisor
        self.supervisor.listeners.append(self._changed)
        agent = lambda: ConsulAgent(consul())  # noqa: E731
        self.health = self._watched(freshness, consul) if settings.node.role else None
        """Without a role nobody asks how the node is, and its calls are nobody's here."""
        self.registrar = Registrar(engine.loop, settings, agent, lambda: self.well, self._reporter)
        self.draining = self._drained(self.health, agent) if self.health is not None else None
        how = settings.drain.on_stop
        self.ending = Ending(engine, how, notifier, self.programs, self.registrar, self.draining)
        self._asker = Asker(settings.kamailio.restart_file, engine.disk.submit, self._reporter)
        self._reaper = Reaper(lambda: self.supervisor.pids)
        self._reaping = Worker("reaper") if os.getpid() == 1 else None
        self._told_ready = self._attends = False
        engine.at_end += [self.supervisor.close, self.registrar.close]
        engine.at_end += [environment.close, certificates.close, secrets.close]

    def start(self) -> None:
        """What runs already is looked after at once, whatever is missing; so is the node itself after SIGHUP. A first
        start waits for the secrets: what is started, and who speaks to Consul, may need them.
        """
        if self._resumed.again or self.programs.run_already:
            self._attend()
        self.secrets.start(self._start)
        self._beat()

    def _attend(self) -> None:
        """Adopt the programs that a supervisor before us left, and begin all that goes on beside programs."""
        self._attends = True
        self.environment.start()
        self.certificates.start()
        self.programs.adopt()
        if self.health is not None:
            self.health.start()
        self.registrar.start()
        if self.draining is not None:
            self.draining.start()

    def _start(self) -> None:
        """Those of its programs that did not run."""
        if self.ending.began:
            return
        if not self._attends:
            self._attend()
        self.programs.start()

    def status(self) -> dict[str, Any]:
        """For `status` and `ps`."""
        return {
            "role": self._settings.node.role,
            "name": self._settings.node.name,
            "waits_for": self.waits_for,
            "processes": self.supervisor.processes(),
            "probes": [_probe(state) for state in self.health.states.values()] if self.health is not None else [],
            "registration": self.registrar.status(),
            "drain": self.draining.status() if self.draining is not None else None,
            "environment": self.environment.status(),
            "certificates": self.certificates.status(),
            "secrets": self.secrets.status(),
        }

    @property
    def waits_for(self) -> str:
        """What keeps the node from being ready, or ""."""
        return self._why_not()

    @property
    def unwell(self) -> str:
        """The same but for a drain: one that drains is well, and stays in Consul."""
        return self._why_not(but=DRAIN)

    @property
    def well(self) -> bool:
        """Whether Consul may give it calls, but for a drain."""
        return not self.unwell or (
            self.health is not None
            and not self.ending.began
            and self._resumed.unseen(self.health.states.values())
            and not self.health.held(but=(DRAIN, "programs"))  # what was adopted shows itself in a moment
        )

    def _why_not(self, but: str = "") -> str:
        if self.ending.began:
            return "its end"
        if self.health is not None:
            return "; ".join(f"{name}: {why}" for name, why in self.health.reasons.items() if name != but)
        return self.secrets.waits_for or self.programs.waits_for

    # -- inside -------------------------------------------------------------------------------------------------------

    def _watched(self, freshness: Freshness, consul: Callable[[], Consul]) -> Health:
        usage = Usage(self.supervisor.identity)
        world = NodeWorld(self._engine.loop, self._settings, self._engine.lanes, freshness, consul, usage.of)
        health = Health(self._engine.loop, self._settings, world)
        health.add_gate("programs", lambda: self.programs.waits_for)
        health.add_gate("secrets", self._resumed.secrets)
        if self._settings.kamailio.mode == "attach":  # one that is ours waits for it before it is started
            health.add_gate("environment", self._resumed.environment)
        health.starts = self.programs.starts
        health.listeners.append(self._turned)
        self._engine.at_end.append(health.close)
        return health

    def _drained(self, health: Health, agent: Callable[[], ConsulAgent]) -> Draining:
        draining = Draining(self._engine.loop, self._settings, self.registrar, agent, self._reporter)
        health.add_gate(DRAIN, draining.gate)
        self._engine.at_end.append(draining.close)
        return draining

    def _turned(self, probe: ProbeState) -> None:
        word = "well" if probe.healthy else "unwell"
        # before the node was ready once, what is not there yet is no news
        level = "info" if probe.healthy or probe.level == NONE or not self._told_ready else "warning"
        self._reporter.tell(f"probe {word}", level, probe=probe.name, reason=probe.reason)
        target = probe.target
        ours = target in self.supervisor.names and not self.programs.starts(target)
        # one that still starts is left alone: it has a deadline of its own
        if ours and probe.healthy is False and probe.action == RESTART and not self.ending.began:
            self.supervisor.restart(target, f"{probe.name}: {probe.reason}", blame=True)
        self.registrar.changed()

    def _changed(self, name: str, service: Service) -> None:
        if self.health is not None and service.stage is Stage.RUNNING:
            self.health.restarted(name)
        if name == KAMAILIO and service.stage is Stage.RUNNING:
            self._heartbeat.look()
            self.environment.look()
            self.certificates.came_up()
        elif name == KAMAILIO and not service.pid:
            self._heartbeat.gone(f"Kamailio is {service.stage.value}: {service.why}".removesuffix(": "))

    def _gave_up(self, why: str) -> None:
        self.code = CRASH_LOOP
        self.ending.without_drain(why)

    def _beat(self) -> None:
        """A decision thread that is stuck beats no more, and the service manager sees it."""
        waits = self.waits_for
        if not self.unwell and not self._told_ready:
            self._told_ready = True
            self._notifier.ready()
        self._notifier.status(f"waits for {waits}" if waits else "ready")
        self._notifier.beat()
        if self.ending.under_way:
            self._notifier.extend(EXTEND)
        if self.health is not None and not self.ending.began:
            self._asker.look(self.health.states.values(), time.monotonic())
        if self._reaping is not None:
            self._reaping.submit(self._reaper.look)
        self.programs.restart_outdated()
        often = min(BEAT, self._notifier.watchdog / 3) if self._notifier.watchdog else BEAT
        self._engine.loop.at(time.monotonic() + often, self._beat)


def _probe(state: ProbeState) -> dict[str, Any]:
    return {
        "name": state.name,
        "healthy": state.healthy,
        "level": state.level,
        "action": state.action,
        "since": state.since,
        "reason": state.told if state.healthy is not True else state.reason,
        "took_ms": round(state.took_ms, 3),
    }
