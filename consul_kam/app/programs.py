"""The programs of a node that are ours: which they are, what goes before their start, and in which order they end."""

from collections.abc import Callable
from typing import Any

from consul_kam.adapters import rpc, sip
from consul_kam.app.boot import Boot
from consul_kam.app.certificates import Certificates
from consul_kam.app.children import Child, ConsulTemplateChild, KamailioChild
from consul_kam.app.engine import Engine, Lane
from consul_kam.app.env import Environment
from consul_kam.app.freshness import Freshness
from consul_kam.app.reports import Reporter
from consul_kam.app.supervisor import Supervisor
from consul_kam.config import Settings
from consul_kam.core.plan import make_release
from consul_kam.core.service import Stage
from consul_kam.core.world import CONSUL_TEMPLATE, KAMAILIO
from consul_kam.errors import ConsulKamError, RpcError


class Programs:
    """Used on the decision thread. `supervisor` keeps them running."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        freshness: Freshness,
        environment: Environment,
        certificates: Certificates,
        gave_up: Callable[[str], None],
    ) -> None:
        """`gave_up`: called with the reason, in a crash loop that ends it all."""
        self._engine = engine
        reporter, ours = engine.reporter, _ours(settings, engine.reporter, environment)
        self.supervisor = Supervisor(engine.loop, reporter, ours, self._before, gave_up)
        waits = lambda: environment.waits_for or certificates.waits_for  # noqa: E731
        self._boot = Boot(engine, settings, freshness, reporter, waits, lambda: self.supervisor.start(KAMAILIO))
        self._began = False

    @property
    def run_already(self) -> bool:
        """Whether a supervisor before us left any that lives."""
        return any(self.supervisor.runs_already(name) for name in self.supervisor.names)

    def adopt(self) -> None:
        """Those that run already."""
        for name in self.supervisor.names:
            if self.supervisor.runs_already(name):
                if name == KAMAILIO:
                    self._boot.waits_for = ""
                self.supervisor.start(name)

    def start(self) -> None:
        """Those that did not run: Kamailio once it may."""
        self._began = True
        stopped = [name for name in self.supervisor.names if self.supervisor.service(name).stage is Stage.STOPPED]
        if CONSUL_TEMPLATE in stopped:
            self.supervisor.start(CONSUL_TEMPLATE)
        if KAMAILIO in stopped:
            self._boot.begin()

    def stop(self, why: str, then: Callable[[], None]) -> None:
        """Kamailio, then what feeds it; `then` once both are gone."""
        self._boot.waits_for = ""
        self._stop_next([name for name in (KAMAILIO, CONSUL_TEMPLATE) if name in self.supervisor.names], why, then)

    def restart(self, name: str) -> None:
        """An operator's word. Raises ConsulKamError where there is nothing to restart."""
        if name not in self.supervisor.names:
            cure = "it is not ours: systemctl restart it" if name == KAMAILIO else "it is not ours"
            raise ConsulKamError(f"cannot restart {name}: {cure}")
        self.supervisor.restart(name, "asked for by `consul-kam restart`", blame=False)

    def restart_outdated(self) -> None:
        """A consul-template that was started with other than what it would be started with now."""
        if CONSUL_TEMPLATE in self.supervisor.names and self._began:  # the next one may need the secrets
            child = self.supervisor.child(CONSUL_TEMPLATE)
            assert isinstance(child, ConsulTemplateChild)
            outdated = child.outdated(self.supervisor.adopted(CONSUL_TEMPLATE))
            if outdated:
                self.supervisor.restart(CONSUL_TEMPLATE, outdated, blame=False)

    @property
    def waits_for(self) -> str:
        """Why Kamailio does not run, where it is ours; or ""."""
        if KAMAILIO not in self.supervisor.names:
            return ""
        if self._boot.waits_for:
            return self._boot.waits_for
        service = self.supervisor.service(KAMAILIO)
        return "" if service.stage is Stage.RUNNING else f"Kamailio is {service.stage.value} {service.why}".strip()

    def starts(self, name: str) -> bool:
        """Whether it is ours and does not run yet."""
        return name in self.supervisor.names and self.supervisor.service(name).stage is not Stage.RUNNING

    # -- inside -------------------------------------------------------------------------------------------------------

    def _stop_next(self, names: list[str], why: str, then: Callable[[], None]) -> None:
        if names:
            self.supervisor.stop(names[0], why, lambda: self._stop_next(names[1:], why, then))
        else:
            then()

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
            self._engine.reporter.warn(wrong)


def _ours(settings: Settings, reporter: Reporter, environment: Environment) -> list[Child]:
    found = list[Child]()
    if settings.consul_template.mode == "spawn" and settings.enabled:
        found.append(ConsulTemplateChild(settings))
    if settings.kamailio.mode == "spawn":
        found.append(KamailioChild(settings, _kamailio_answers(settings), reporter.warn, environment))
    return found


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
