"""The end of a node, in order: its calls, its place in Consul, Kamailio, what feeds it, and then we."""

from consul_kam.adapters.systemd import Notifier
from consul_kam.app.drain import Draining
from consul_kam.app.engine import Engine
from consul_kam.app.programs import Programs
from consul_kam.app.registration import Registrar
from consul_kam.core.world import KAMAILIO

ANNOUNCE, LEAVE = "announce", "leave"
"""Of [drain] on_stop."""


class Ending:
    """Used on the decision thread. `began`: what may wait, a drain or an announcement, is over, and all stops."""

    def __init__(
        self,
        engine: Engine,
        how: str,
        notifier: Notifier,
        programs: Programs,
        registrar: Registrar,
        draining: Draining | None,
    ) -> None:
        """`how`: [drain] on_stop. `draining`: None where the node's calls are nobody's here."""
        self._engine, self._how, self._notifier = engine, how, notifier
        self._programs, self._registrar, self._draining = programs, registrar, draining
        self.began = self._announcing = False

    @property
    def under_way(self) -> bool:
        """Whether it ends, or drains for that."""
        return self.began or (self._draining is not None and self._draining.ending)

    def ask(self, why: str) -> None:
        """As [drain] on_stop says. Asked for twice, a drain is cut short; asked for again, all ends at once."""
        if self.began:
            self._programs.supervisor.kill()
            self._engine.stop()
            return
        draining = self._draining
        self._notifier.stopping()
        if draining is not None and draining.ending:
            self._engine.reporter.tell("drain cut short", "warning", reason=why)
            draining.cut_short()
        elif draining is None or self._how == LEAVE or self._programs.waits_for:  # not running: no calls
            self._leave(why)
        elif self._how == ANNOUNCE:
            self._announce(draining, why)
        else:
            self._engine.reporter.tell("draining before the end", reason=why)
            draining.end(f"{why} of `consul-kam run`", lambda: self._leave(why))

    def without_drain(self, why: str) -> None:
        """Whatever [drain] on_stop says: Kamailio does not run any more."""
        self._notifier.stopping()
        self._leave(why)

    def _announce(self, draining: Draining, why: str) -> None:
        """Only for a Kamailio that goes on, and a node that others know; asked for twice, nothing is waited for."""
        if KAMAILIO in self._programs.supervisor.names or not self._registrar.registered:
            self._leave(why)
        elif self._announcing:
            self._stay(why)
        else:
            self._announcing = True
            draining.announce(f"{why} of `consul-kam run`; Kamailio goes on", lambda: self._stay(why))

    def _leave(self, why: str) -> None:
        """Out of Consul first."""
        if not self.began:
            self.began = True
            self._registrar.leave(lambda: self._stop(why))

    def _stay(self, why: str) -> None:
        """In Consul, as announced."""
        if not self.began:
            self.began = True
            self._stop(why)

    def _stop(self, why: str) -> None:
        self._engine.reporter.tell("ending", reason=why)
        self._programs.stop(why, self._engine.stop)
