"""The node in Consul, kept there: looks at one agent, decides on the decision thread, acts on a worker of its own."""

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from consul_kam import settings as keys
from consul_kam.adapters import files
from consul_kam.adapters.consul_agent import ConsulAgent
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.config import Settings
from consul_kam.core.registered import NODE_MAINTENANCE, Action, Forget, Record, Seen, Service, Wanted, load
from consul_kam.core.registration import Plan, State, Where, another_agent, leaving, reconcile
from consul_kam.errors import ConsulError

LEAVE = 2.0
"""Seconds that taking us out may last at the end of `run`."""
LATE = 5.0
"""Seconds after which a look that is not back is trouble."""
RECORD = "registration.json"
"""In the state directory."""
DATASET = "registration"
"""What its lines in the journal are filed under."""


def wanted(given: keys.Registration) -> Wanted:
    """What the configuration, complete, says."""
    service = Service(
        id=given.id,
        name=given.name,
        tags=tuple(sorted(set(given.tags or []))),
        address=given.address,
        port=given.port or 0,
        meta=tuple(sorted(given.meta.items())),
        weight=given.weight,
    )
    times = (given.check_interval, given.check_timeout, given.deregister_after, given.ttl or 0.0)
    return Wanted(service, given.check_url, *times)


class Registrar:
    """Every method on the decision thread. `consul` makes the client, `ready` says whether the node is."""

    def __init__(
        self,
        loop: Loop,
        settings: Settings,
        consul: Callable[[], ConsulAgent],
        ready: Callable[[], bool],
        reporter: Reporter | None = None,
    ) -> None:
        given = settings.registration
        self._loop, self._ready, self._reporter = loop, ready, reporter
        self._enabled, self._wanted = bool(given.enabled), wanted(given)
        # What is good for `ttl` seconds is said anew three times in that time.
        self._every = min(given.every, self._wanted.ttl / 3) if self._wanted.ttl else given.every
        self._closing = threading.Event()
        self._hands = _Hands(settings.state_dir / RECORD, consul, self._closing)
        self._worker = Worker("registration")
        self._record, self._state, self._unwritten = Record(), State(), ""
        self._where, self._since, self._trouble = Where.WAITING, time.time(), ""
        self._seen: Seen | None = None
        self._drain = ""
        self._busy = self._again = False
        self._asked = time.monotonic()

    def start(self) -> None:
        """Look now, and from then on by itself."""
        if self._enabled:
            self._busy = True
            self._worker.submit(lambda: self._post(self._loaded, self._hands.load()))

    def changed(self) -> None:
        """Ready may have changed: look now."""
        if self._busy:
            self._again = True
        elif self._enabled and not self._closing.is_set():
            self._look()

    @property
    def enabled(self) -> bool:
        return self._enabled

    def drain(self, reason: str) -> None:
        """Maintenance of ours, kept until this is told with "". The reason has to begin with `OURS`."""
        if reason != self._drain:
            self._drain = reason
            self._record = replace(self._record, drain=reason)
            self.changed()

    @property
    def registered(self) -> bool:
        """As last seen, or done."""
        return self._enabled and self._where is Where.REGISTERED

    @property
    def announced(self) -> bool:
        """Whether the agent shows us in maintenance, as last seen."""
        return bool(_maintenance(self._wanted, self._seen))

    def status(self) -> dict[str, Any]:
        """`state`: `off`, or as core.registration.Where; `since`: wall clock, s; `trouble`: "" or what to mend."""
        late = self._enabled and self._busy and time.monotonic() - self._asked > LATE
        return {
            "state": self._where.value if self._enabled else "off",
            "id": self._wanted.service.id,
            "name": self._wanted.service.name,
            "node": self._record.node,
            "since": self._since,
            "maintenance": _maintenance(self._wanted, self._seen),
            "trouble": f"cannot get an answer from Consul for more than {LATE:g} s" if late else self._trouble,
        }

    def leave(self, then: Callable[[], None]) -> None:
        """Take the node out of Consul, whatever came of the start, and call `then` once: within LEAVE s in any case."""
        self._closing.set()
        if not self._enabled:
            then()
            return
        once = [then]

        def end() -> None:
            while once:
                once.pop()()

        def left(said: tuple[tuple[Action, ...], str]) -> None:
            self._left(*said)
            end()

        self._worker.submit(lambda: self._post(left, self._hands.leave(self._wanted)))
        self._loop.at(time.monotonic() + LEAVE, end)

    def close(self) -> None:
        """No more looks."""
        self._closing.set()
        self._worker.close(0.1)

    def _post(self, call: Callable[[Any], object], result: Any) -> None:
        self._loop.post(lambda: call(result))

    def _loaded(self, record: Record) -> None:
        self._busy, self._record = False, replace(record, drain=self._drain)
        self._tick()

    def _tick(self) -> None:
        if not self._closing.is_set():
            if not self._busy:
                self._look()
            self._loop.at(time.monotonic() + self._every, self._tick)

    def _look(self) -> None:
        self._busy, self._again, self._asked = True, False, time.monotonic()
        record = self._record
        self._worker.submit(lambda: self._post(self._looked, self._hands.look(self._wanted, record)))

    def _looked(self, seen: Seen | str) -> None:
        if self._closing.is_set():
            return
        if isinstance(seen, str):
            self._rest(seen)
            return
        self._seen = seen
        plan = reconcile(self._wanted, self._record, self._state, seen, self._ready(), time.monotonic())
        if plan.actions or plan.record != self._record or plan.after != self._record or self._unwritten:
            self._worker.submit(lambda: self._post(lambda said: self._done(plan, *said), self._hands.act(plan)))
        else:
            self._done(plan, "", "")

    def _done(self, plan: Plan, failed: str, unwritten: str) -> None:
        """`failed`: what could not be done; `unwritten`: why the disk does not have the record."""
        if self._closing.is_set():
            return
        self._record = replace(plan.record if failed else plan.after, drain=self._drain)
        self._unwritten = unwritten
        if failed:
            self._rest(failed)
            return
        self._state = plan.state
        if plan.why:
            event = "registered" if plan.where is Where.REGISTERED else "deregistered"
            self._note(event, id=self._wanted.service.id, node=self._record.node, reason=plan.why)
        self._rest(plan.trouble or unwritten, plan.where)

    def _rest(self, trouble: str, where: Where | None = None) -> None:
        """`where`: None while nobody knows."""
        if where is not None and where is not self._where:
            self._where, self._since = where, time.time()
        if trouble != self._trouble:
            self._trouble = trouble
            if trouble and self._reporter is not None:
                self._reporter.warn(trouble)
            elif not trouble:
                self._note("registration is well again", state=self._where.value)
        self._busy = False
        if self._again and not self._closing.is_set():
            self._look()

    def _left(self, actions: tuple[Action, ...], trouble: str) -> None:
        if actions:
            self._note("deregistered", id=self._wanted.service.id, node=self._record.node, reason="the node ends")
        if trouble and self._reporter is not None:
            self._reporter.warn(trouble)

    def _note(self, event: str, **facts: Any) -> None:
        if self._reporter is not None:
            self._reporter.note(DATASET, event, **facts)


class _Hands:
    """What the worker does. Nothing here raises; what could not be done is returned as one line."""

    def __init__(self, path: Path, consul: Callable[[], ConsulAgent], closing: threading.Event) -> None:
        self._path, self._factory, self._closing = path, consul, closing
        self._made: ConsulAgent | None = None
        self._record = Record()
        """As it is on disk."""

    def load(self) -> Record:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            self._record = load(json.loads(files.read_if_there(self._path) or b"null"))
        return self._record

    def look(self, wanted: Wanted, record: Record, catalog: bool = True) -> Seen | str:
        if self._made is None:
            self._made = self._factory()
        try:
            return self._made.look(wanted.service.id, wanted.service.name, record.id, record.node, catalog)
        except ConsulError as error:
            return str(error)

    def act(self, plan: Plan) -> tuple[str, str]:
        """(what could not be done, or ""; why the record is not on disk, or ""). A full disk keeps nobody away."""
        assert self._made is not None
        unwritten = self._keep(plan.record)
        for action in plan.actions:
            if self._closing.is_set():
                return "cannot go on: it ends", unwritten
            try:
                self._made.do(action)
            except ConsulError as error:
                return str(error), unwritten
        return "", self._keep(plan.after)

    def leave(self, wanted: Wanted) -> tuple[tuple[Action, ...], str]:
        """(what was done, what could not be)."""
        seen = self.look(wanted, self._record, catalog=False)
        if isinstance(seen, str):
            return (), seen
        if another_agent(self._record, seen):
            where = f"it is registered with {self._record.node}, and {seen.node} answers"
            return (), f"cannot deregister {self._record.id}: {where}"
        actions = leaving(wanted, self._record, seen)
        assert self._made is not None
        for action in actions:
            try:
                self._made.do(action)
            except ConsulError as error:
                if not isinstance(action, Forget):  # without a leader the agent tells the catalog later
                    return (), str(error)
        return actions, self._keep(Record(drain=self._record.drain))

    def _keep(self, record: Record) -> str:
        if record == self._record:
            return ""
        try:
            files.write_atomic(self._path, json.dumps(asdict(record)).encode(), 0o600)
        except OSError as error:
            return f"cannot remember where this node is registered: {self._path}: {error.strerror or error}"
        self._record = record
        return ""


def _maintenance(wanted: Wanted, seen: Seen | None) -> str:
    """The reason of the node's maintenance, whose ever it is, or ""."""
    found = (seen.check(id) for id in (wanted.maintenance_id, NODE_MAINTENANCE)) if seen is not None else ()
    return next((check.notes or "no reason" for check in found if check is not None), "")
