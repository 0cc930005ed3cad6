"""The shell of a drain: looks each half second, tells Consul and Kamailio what core.drain's phase wants, remembers.

On the decision thread but for what its worker does; nothing here waits. What is under way lies in the state directory,
and whoever comes after us goes on with it.
"""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from consul_kam.adapters import files
from consul_kam.adapters.consul_agent import ConsulAgent
from consul_kam.app.calls import Calls, Look, calls_of
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.registration import Registrar
from consul_kam.app.reports import Reporter
from consul_kam.config import Settings
from consul_kam.core import drain as core
from consul_kam.core.drain import END, OPERATOR, Asked, Drain, Event, Looked, Phase, Policy, Undone, step
from consul_kam.core.registered import OURS, Instance
from consul_kam.errors import ConsulError

EVERY = 0.5
"""Seconds between two looks."""
FILE = "drain.json"
"""In the state directory."""
ANNOUNCE = 2.0
"""Seconds that announcing may take at the end of a `run` whose Kamailio goes on."""

Told = Callable[[dict[str, Any]], object]
"""Gets the reply to an operator's word."""


class Draining:
    """One node's. `consul` makes a client for this one's use alone."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        registrar: Registrar,
        consul: Callable[[], ConsulAgent],
        reporter: Reporter,
    ) -> None:
        self._loop, self._registrar, self._consul, self._reporter = loop, registrar, consul, reporter
        self._settings, self._service = settings, settings.registration
        self._policy = Policy(settings.drain.quiet_for, settings.drain.announce_max)
        self._path = settings.state_dir / FILE
        self._worker = Worker("drain")
        self._calls: Calls = calls_of(settings)
        self._drain = Drain()
        self._kept: tuple[Any, ...] = ()
        self._unwritten = ""
        self._looking = self._watching = self._closed = False
        self._then: Callable[[], None] | None = None

    def start(self) -> None:
        """Go on with what a `run` before us left."""
        found = self._load()
        if found.phase is Phase.NONE:
            return
        if found.by == END:
            self._tell("drain undone", reason=f"it was for the end of a run, and here is a new one: {found.reason}")
            self._keep()
            return
        self._drain = replace(found, quiet_since=time.monotonic(), announced=False)
        self._tell("drain goes on", reason=found.reason, phase=found.phase.value)
        self._registrar.drain(self._in_consul)
        self._watch()

    def close(self) -> None:
        self._closed = True
        self._worker.close(0.1)

    @property
    def under_way(self) -> bool:
        return self._drain.phase is not Phase.NONE

    @property
    def ending(self) -> bool:
        """Whether the end of `run` waits for it."""
        return self._then is not None

    def gate(self) -> str:
        """Why the node is not ready, or ""."""
        return f"{self._drain.phase.value}: {self._drain.reason}" if self.under_way else ""

    # -- words --------------------------------------------------------------------------------------------------------

    def begin(self, reason: str, lasts: float | None, force: bool, told: Told) -> None:
        """An operator's word; replies once it is written down. Refused where nobody else takes the calls."""
        asked = Asked(reason, OPERATOR, lasts or self._settings.drain.deadline, self._registrar.enabled)
        if force or self.under_way or not self._registrar.enabled:
            self._begin(asked, told)
            return

        def job() -> None:
            why = self._nobody_else()
            self._loop.post(lambda: told({"ok": False, "error": why}) if why else self._begin(asked, told))

        self._worker.submit(job)

    def undo(self, told: Told) -> None:
        """Replies once Kamailio was told, or could not be."""
        if not self.under_way:
            told({"ok": True, "was": Phase.NONE.value})
            return
        if self.ending:
            told({"ok": False, "error": "cannot undrain: this run ends, and starts anew without the drain"})
            return
        was = self._drain
        self._event(Undone())
        self._registrar.drain("")

        def job() -> None:
            trouble = self._calls.allow()
            self._loop.post(lambda: told({"ok": True, "was": was.phase.value, "trouble": trouble or self._unwritten}))

        self._worker.submit(job)

    def end(self, why: str, then: Callable[[], None]) -> None:
        """Drain for the end of `run`; `then` once it is drained."""
        self._then = then
        self._event(Asked(why, END, self._settings.drain.deadline, self._registrar.enabled))
        self._registrar.drain(self._in_consul)
        self._end_waits()
        self._watch()

    def announce(self, why: str, then: Callable[[], None]) -> None:
        """Maintenance alone, for the end of a `run` whose Kamailio goes on; the next `run` ends it."""
        if not self._registrar.enabled or self.under_way:
            then()
            return
        self._registrar.drain(f"{OURS}: {why}")
        until = time.monotonic() + ANNOUNCE

        def look() -> None:
            if self._registrar.announced or time.monotonic() >= until:
                then()
            else:
                self._registrar.changed()
                self._loop.at(time.monotonic() + 0.05, look)

        look()

    def cut_short(self) -> None:
        """What the end waits for is waited for no longer."""
        then, self._then = self._then, None
        if then is not None:
            then()

    def status(self) -> dict[str, Any]:
        """For `drain`, `ps` and `status`; times of the wall clock, s. `phase` NONE: nothing is under way."""
        drain, ahead = self._drain, time.time() - time.monotonic()
        if not self.under_way:
            return {"phase": drain.phase.value}
        counts = drain.counts
        return {
            "phase": drain.phase.value,
            "reason": drain.reason,
            "by": drain.by,
            "began": drain.began + ahead,
            "since": drain.since + ahead,
            "deadline": drain.deadline + ahead,
            "announced": drain.announced,
            "quiet": round(max(0.0, time.monotonic() - drain.quiet_since), 1),
            "quiet_for": self._policy.quiet_for,
            "calls": counts.calls if counts is not None else None,
            "accepted": counts.accepted if counts is not None else None,
            "transactions": counts.busy if counts is not None else None,
            "blind": drain.blind,
            "trouble": drain.trouble or self._unwritten,
            "how": drain.how,
            "clean": drain.clean,
        }

    # -- inside -------------------------------------------------------------------------------------------------------

    @property
    def _in_consul(self) -> str:
        return f"{OURS}: {self._drain.reason}" if self.under_way else ""

    def _begin(self, asked: Asked, told: Told) -> None:
        self._event(asked)
        self._registrar.drain(self._in_consul)
        self._worker.submit(lambda: self._loop.post(lambda: told({"ok": True, "drain": self.status()})))
        self._watch()

    def _nobody_else(self) -> str:
        """On the worker: why the node may not leave, or ""."""
        name, own = self._service.name, self._service.id
        cure = "--force drains all the same"
        try:
            known = self._consul().instances(name)
        except ConsulError as error:
            return f"cannot drain: nobody can say whether another {name} takes the calls: {error}; {cure}"
        return nobody_else(name, own, known, cure)

    def _event(self, event: Event) -> None:
        before = self._drain
        self._drain = after = step(before, event, time.monotonic(), self._policy)
        if after.phase is not before.phase:
            facts = {"phase": after.phase.value, "reason": after.reason or before.reason, "how": after.how}
            calls = after.counts.calls if after.counts is not None else None
            self._tell("drain", **{key: value for key, value in facts.items() if value}, calls=calls)
        if after.trouble and after.trouble != before.trouble:
            self._reporter.warn(after.trouble)
        self._keep()

    def _tell(self, event: str, **facts: Any) -> None:
        self._reporter.tell(event, **facts)

    def _watch(self) -> None:
        if not self._watching:
            self._watching = True
            self._tick()

    def _tick(self) -> None:
        if self._closed or not self.under_way:
            self._watching = False
            return
        if not self._looking:
            self._looking = True
            phase, refuse = self._drain.phase, self._drain.refuses
            self._worker.submit(lambda: self._look(phase, refuse))
            if not self._registrar.announced:
                self._registrar.changed()
        self._loop.at(time.monotonic() + EVERY, self._tick)

    def _look(self, phase: Phase, refuse: bool) -> None:
        look = self._calls.look(refuse)
        self._loop.post(lambda: self._looked(phase, look))

    def _looked(self, phase: Phase, look: Look) -> None:
        self._looking = False
        if self._closed or not self.under_way:
            return
        self._event(Looked(phase, self._registrar.announced, look.counts, look.trouble, look.gone))
        self._end_waits()

    def _end_waits(self) -> None:
        if self._then is not None and self._drain.phase in (Phase.DRAINED, Phase.NONE):
            self.cut_short()

    # -- what outlives us ---------------------------------------------------------------------------------------------

    def _load(self) -> Drain:
        try:
            raw = files.read_if_there(self._path)
            return core.load(json.loads(raw), time.time() - time.monotonic()) if raw else Drain()
        except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            self._reporter.warn(f"cannot read {self._path}: {error}; whether a drain was under way is not known")
            return Drain()

    def _keep(self) -> None:
        """Where it changed in what the next supervisor has to know. Not quiet_since: it will listen anew."""
        drain = self._drain
        epoch = drain.counts.epoch if drain.counts is not None else ""
        key = (drain.phase, drain.reason, drain.by, drain.deadline, drain.blind, epoch)
        if key == self._kept:
            return
        self._kept = key
        text = json.dumps(core.dump(drain, time.time() - time.monotonic())).encode() if self.under_way else b""
        self._worker.submit(lambda: self._write(text))

    def _write(self, text: bytes) -> None:
        """On the worker; empty: there is none."""
        self._unwritten = ""
        try:
            if text:
                files.write_atomic(self._path, text, 0o600)
            else:
                with contextlib.suppress(FileNotFoundError):
                    self._path.unlink()
        except OSError as error:
            self._unwritten = f"cannot remember the drain: {self._path}: {error.strerror or error}"
            self._reporter.warn(self._unwritten)


def nobody_else(name: str, own: str, known: tuple[Instance, ...], cure: str) -> str:
    """Why no other instance can take the calls of `own`, or ""."""
    others = [each for each in known if each.id != own]
    if any(each.passing for each in others):
        return ""
    if not others:
        return f"cannot drain: there is no other {name} in Consul to take the calls; {cure}"
    said = "; ".join(f"{each.id} on {each.node}: {each.why}" for each in others[:4])
    return f"cannot drain: no other {name} passes: {said}; {cure}"
