"""What `run` does for a node beyond its lists: keeps its programs running, says how it is, and ends in order."""

import os
import time
from collections.abc import Callable
from typing import Any

from consul_kam.adapters import rpc, sip
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_agent import ConsulAgent
from consul_kam.adapters.processes import Reaper
from consul_kam.adapters.systemd import Notifier
from consul_kam.app.asking import Asker
from consul_kam.app.boot import Boot
from consul_kam.app.certificates import Certificates
from consul_kam.app.children import Child, ConsulTemplateChild, KamailioChild
from consul_kam.app.drain import Draining
from consul_kam.app.engine import Engine, Lane
from consul_kam.app.env import Environment
from consul_kam.app.freshness import Freshness
from consul_kam.app.health import Health
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.loop import Worker
from consul_kam.app.registration import Registrar
from consul_kam.app.resumed import Resumed
from consul_kam.app.secrets import Secrets
from consul_kam.app.supervisor import Supervisor, Usage
from consul_kam.app.world import NodeWorld
from consul_kam.config import Settings
from consul_kam.core.health import NONE, RESTART, ProbeState
from consul_kam.core.plan import make_release
from consul_kam.core.service import Service, Stage
from consul_kam.core.world import CONSUL_TEMPLATE, KAMAILIO
from consul_kam.errors import ConsulKamError, RpcError

CRASH_LOOP = 75
"""Exit code: EX_TEMPFAIL of sysexits.h; who started us shall start us anew."""
DRAIN = "drain"
"""The gate of the probes; what is drained is well."""
ANNOUNCE, LEAVE = "announce", "leave"
"""Of [drain] on_stop."""
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
        reporter = engine.reporter
        self.code = 0
        self.environment, self.secrets, self.certificates = environment, secrets, certificates = kept
        environment.left_before = secrets.left_before
        self._resumed = Resumed(well, secrets, environment, settings.env.origins)
        for name in settings.env.origins:
            secrets.subscribe(name, lambda _: environment.look())
        self.supervisor = Supervisor(engine.loop, reporter, self._children(), self._before, self._gave_up)
        self.supervisor.listeners.append(self._changed)
        waits = lambda: environment.waits_for or certificates.waits_for  # noqa: E731
        self.boot = Boot(engine, settings, freshness, reporter, waits, lambda: self.supervisor.start(KAMAILIO))
        self._usage = Usage(self.supervisor.identity)
        self.health: Health | None = None
        """Without a role nobody asks how the node is."""
        if settings.node.role:
            world = NodeWorld(engine.loop, settings, engine.lanes, freshness, consul, self._usage.of)
            self.health = self._watched(Health(engine.loop, settings, world))
        self.registrar = Registrar(engine.loop, settings, lambda: ConsulAgent(consul()), lambda: self.well, reporter)
        self.draining: Draining | None = None
        """Without a role the node's calls are nobody's here."""
        if self.health is not None:
            agent = lambda: ConsulAgent(consul())  # noqa: E731
            self.draining = Draining(engine.loop, settings, self.registrar, agent, reporter)
            self.health.add_gate(DRAIN, self.draining.gate)
            engine.at_end.append(self.draining.close)
        self._asker = Asker(settings.kamailio.restart_file, engine.disk.submit, reporter)
        self._reaper = Reaper(lambda: self.supervisor.pids)
        self._reaping = Worker("reaper") if os.getpid() == 1 else None
        self._ending = self._announcing = self._told_ready = False
        self._attends = self._starts_programs = False
        engine.at_end += [self.supervisor.close, self.registrar.close]
        engine.at_end += [environment.close, certificates.close, secrets.close]

    def start(self) -> None:
        """What runs already is looked after at once, whatever is missing; so is the node itself after SIGHUP. A first
        start waits for the secrets: what is started, and who speaks to Consul, may need them.
        """
        if self._resumed.again or any(self.supervisor.runs_already(name) for name in self.supervisor.names):
            self._attend()
        self.secrets.start(self._start)
        self._beat()

    def _attend(self) -> None:
        """Adopt the programs that a supervisor before us left, and begin all that goes on beside programs."""
        self._attends = True
        self.environment.start()
        self.certificates.start()
        for name in self.supervisor.names:
            if self.supervisor.runs_already(name):
                if name == KAMAILIO:
                    self.boot.waits_for = ""
                self.supervisor.start(name)
        if self.health is not None:
            self.health.start()
        self.registrar.start()
        if self.draining is not None:
            self.draining.start()

    def _start(self) -> None:
        """Those of its programs that did not run."""
        if self._ending:
            return
        self._starts_programs = True
        if not self._attends:
            self._attend()
        stopped = [name for name in self.supervisor.names if self.supervisor.service(name).stage is Stage.STOPPED]
        if CONSUL_TEMPLATE in stopped:
            self.supervisor.start(CONSUL_TEMPLATE)
        if KAMAILIO in stopped:
            self.boot.begin()

    def end(self, why: str) -> None:
        """As [drain] on_stop says. Asked for twice, a drain is cut short; asked for again, all ends at once."""
        if self._ending:
            self.supervisor.kill()
            self._engine.stop()
            return
        draining, how = self.draining, self._settings.drain.on_stop
        self._notifier.stopping()
        if draining is not None and draining.ending:
            self._reporter.tell("drain cut short", "warning", reason=why)
            draining.cut_short()
        elif draining is None or how == LEAVE or self._programs():  # a Kamailio that does not run has no calls
            self._leave(why)
        elif how == ANNOUNCE:
            self._announce(draining, why)
        else:
            self._reporter.tell("draining before the end", reason=why)
            draining.end(f"{why} of `consul-kam run`", lambda: self._leave(why))

    @property
    def ending(self) -> bool:
        """Whether it ends, or drains for that."""
        return self._ending or (self.draining is not None and self.draining.ending)

    def _announce(self, draining: Draining, why: str) -> None:
        """Only for a Kamailio that goes on, and a node that others know; asked for twice, nothing is waited for."""
        if KAMAILIO in self.supervisor.names or not self.registrar.registered:
            self._leave(why)
        elif self._announcing:
            self._end(why)
        else:
            self._announcing = True
            draining.announce(f"{why} of `consul-kam run`; Kamailio goes on", lambda: self._end(why))

    def _leave(self, why: str) -> None:
        """Out of Consul first."""
        if not self._ending:
            self._ending = True
            self.registrar.leave(lambda: self._stop(why))

    def _end(self, why: str) -> None:
        if not self._ending:
            self._ending = True
            self._stop(why)

    def _stop(self, why: str) -> None:
        """Kamailio, then what feeds it, then we."""
        self.boot.waits_for = ""
        self._reporter.tell("ending", reason=why)
        names = [name for name in (KAMAILIO, CONSUL_TEMPLATE) if name in self.supervisor.names]
        self._stop_next(names, why)

    def restart(self, name: str) -> None:
        """An operator's word. Raises ConsulKamError where there is nothing to restart."""
        if name not in self.supervisor.names:
            cure = "it is not ours: systemctl restart it" if name == KAMAILIO else "it is not ours"
            raise ConsulKamError(f"cannot restart {name}: {cure}")
        self.supervisor.restart(name, "asked for by `consul-kam restart`", blame=False)

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
            and not self._ending
            and self._resumed.unseen(self.health.states.values())
            and not self.health.held(but=(DRAIN, "programs"))  # what was adopted shows itself in a moment
        )

    def _why_not(self, but: str = "") -> str:
        if self._ending:
            return "its end"
        if self.health is not None:
            return "; ".join(f"{name}: {why}" for name, why in self.health.reasons.items() if name != but)
        return self.secrets.waits_for or self._programs()

    def _programs(self) -> str:
        """Why Kamailio does not run, where it is ours."""
        if KAMAILIO not in self.supervisor.names:
            return ""
        if self.boot.waits_for:
            return self.boot.waits_for
        service = self.supervisor.service(KAMAILIO)
        return "" if service.stage is Stage.RUNNING else f"Kamailio is {service.stage.value} {service.why}".strip()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _children(self) -> list[Child]:
        settings, found = self._settings, list[Child]()
        if settings.consul_template.mode == "spawn" and settings.enabled:
            found.append(ConsulTemplateChild(settings))
        if settings.kamailio.mode == "spawn":
            found.append(KamailioChild(settings, _kamailio_answers(settings), self._reporter.warn, self.environment))
        return found

    def _watched(self, health: Health) -> Health:
        health.add_gate("programs", self._programs)
        health.add_gate("secrets", self._resumed.secrets)
        if self._settings.kamailio.mode == "attach":  # one that is ours waits for it before it is started
            health.add_gate("environment", self._resumed.environment)
        health.starts = self._starts
        health.listeners.append(self._turned)
        self._engine.at_end.append(health.close)
        return health

    def _starts(self, name: str) -> bool:
        return name in self.supervisor.names and self.supervisor.service(name).stage is not Stage.RUNNING

    def _turned(self, probe: ProbeState) -> None:
        word = "well" if probe.healthy else "unwell"
        # before the node was ready once, what is not there yet is no news
        level = "info" if probe.healthy or probe.level == NONE or not self._told_ready else "warning"
        self._reporter.tell(f"probe {word}", level, probe=probe.name, reason=probe.reason)
        target = probe.target
        ours = target in self.supervisor.names and not self._starts(target)
        # one that still starts is left alone: it has a deadline of its own
        if ours and probe.healthy is False and probe.action == RESTART and not self._ending:
            self.supervisor.restart(target, f"{probe.name}: {probe.reason}", blame=True)
        self.registrar.changed()

    def _before(self, child: Child, go: Callable[[], None]) -> None:
        """Kamailio's live files are as they shall be before it is started: `kamailio -c` does not even miss them.

        On the disk worker, as all of their writes.
        """
        for lane in self._engine.lanes.values() if child.name == KAMAILIO else ():
            known = lane.pipeline.for_a_start()
            if known is None and not lane.work.live.exists():
                known = make_release([]), frozenset()
            if known is not None and not lane.pipeline.state.halted:
                self._engine.disk.submit(lambda lane=lane, known=known: self._lay_down(lane, *known))  # type: ignore[misc]
        self._engine.disk.submit(go)

    def _lay_down(self, lane: Lane, *known: Any) -> None:
        wrong = lane.work.lay_down(*known)
        if wrong:
            self._reporter.warn(wrong)

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
        self._notifier.stopping()
        self._leave(why)

    def _stop_next(self, names: list[str], why: str) -> None:
        if not names:
            self._engine.stop()
            return
        self.supervisor.stop(names[0], why, lambda: self._stop_next(names[1:], why))

    def _beat(self) -> None:
        """A decision thread that is stuck beats no more, and the service manager sees it."""
        waits = self.waits_for
        if not self.unwell and not self._told_ready:
            self._told_ready = True
            self._notifier.ready()
        self._notifier.status(f"waits for {waits}" if waits else "ready")
        self._notifier.beat()
        if self.ending:
            self._notifier.extend(EXTEND)
        if self.health is not None and not self._ending:
            self._asker.look(self.health.states.values(), time.monotonic())
        if self._reaping is not None:
            self._reaping.submit(self._reaper.look)
        if CONSUL_TEMPLATE in self.supervisor.names and self._starts_programs:  # the next one may need the secrets
            child = self.supervisor.child(CONSUL_TEMPLATE)
            assert isinstance(child, ConsulTemplateChild)
            outdated = child.outdated(self.supervisor.adopted(CONSUL_TEMPLATE))
            if outdated:
                self.supervisor.restart(CONSUL_TEMPLATE, outdated, blame=False)
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


def _kamailio_answers(settings: Settings) -> Callable[[], bool]:
    """RPC, by a client of its own, since the engine's is busy with the engine's calls; and SIP."""
    way = settings.kamailio
    client = rpc.connect(way.rpc, way.rpc_reply_dir, way.rpc_password_file, way.rpc_ca_file)

    def answers() -> bool:
        try:
            client.call("core.uptime", deadline=1.0)
        except RpcError:
            return False
        return all(reply.code for reply in sip.options(way.sip or (), 1.0).values())

    return answers
