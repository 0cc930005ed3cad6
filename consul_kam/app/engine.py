"""The engine: one loop that turns everything that happens into events for the pipelines, and their actions into jobs
for one worker per resource (RPC, disk, Consul). Design.md, sections 3 and 4.

From a staging file's rename to Kamailio's memory a change is handed over once: who watches staging reads the file and
decides, and the RPC worker, which had the states told meanwhile, writes the live file and has it loaded.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from consul_kam.adapters.consul_source import Source
from consul_kam.app.doing import Doing, Inactivate, Resolve, Wake
from consul_kam.app.loop import Call, Loop, Worker
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.reports import SHOWN, Reporter, text
from consul_kam.app.stored import about
from consul_kam.app.work import Work
from consul_kam.core import events, past
from consul_kam.core.events import Event, Report, Verdict
from consul_kam.core.records import Host
from consul_kam.errors import RpcError


@dataclass(slots=True)
class Trace:
    """Milliseconds a stage of the change under way."""

    began: float = 0.0
    ms: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Ahead:
    """Memory, read while the list that will want it is still being parsed."""

    op: int
    at: float
    event: Event | None = None

    def serves(self, action: events.DoRead, now: float) -> bool:
        """Whether this reading may be used for that one."""
        return self.op == action.op and now - self.at <= AHEAD


AHEAD = 0.5
"""Seconds that such a reading may be used."""


@dataclass(slots=True)
class Lane:
    """All that belongs to one dataset."""

    pipeline: Pipeline
    work: Work
    staging: dict[str, Path]
    """Part -> staging file."""
    sources: dict[str, tuple[Source, ...]]
    """Part -> what of Consul it is made of."""
    trace: Trace = field(default_factory=Trace)
    ahead: Ahead | None = None
    asked: dict[str, str] = field(default_factory=dict)
    """Part -> digest of the staging content that waits for Consul's word on ACLs."""
    applying: int = 0
    """Operation number of the newest reload that is under way or done."""
    touched: float = field(default_factory=time.monotonic)
    """When something last happened to it, monotonic s."""


class Engine:
    """Runs until `stop`. Everything but what its workers do happens in the loop, one call at a time."""

    def __init__(self, lanes: list[Lane], reporter: Reporter, verify_every: float) -> None:
        self.lanes = {lane.pipeline.dataset.name: lane for lane in lanes}
        self.reporter = reporter
        self.loop = Loop()
        self.rpc, self.disk = Worker("rpc"), Worker("disk")
        self.after: list[Callable[[], None]] = []
        """Called after each event: waiters for verdicts, a detached engine's end."""
        self.each_tick: list[Callable[[], None]] = []
        self.at_end: list[Callable[[], None]] = []
        """Called once no more events are served."""
        self._verify_every = verify_every

    def run(self) -> None:
        """Serve events until stopped."""
        self.loop.at(time.monotonic() + self._verify_every, self._tick)
        self.loop.run(self._after)
        for call in self.at_end:
            call()
        for worker in (self.rpc, self.disk):
            worker.close(2.0)
        self.reporter.close()

    def stop(self) -> None:
        """From any thread."""
        self.loop.post(self.loop.stop)

    # -- actions ------------------------------------------------------------------------------------------------------

    def handle(self, lane: Lane, event: Event) -> None:
        """One event of a dataset's machine."""
        self.do(lane, lane.pipeline.on(event, time.monotonic()))

    def do(self, lane: Lane, doing: list[Doing]) -> None:
        """Carry out what a pipeline asks for."""
        for action in doing:
            self._start(lane, action)
        self._provide(lane)

    def _start(self, lane: Lane, action: Doing) -> None:  # noqa: C901 - a table, one line each
        work, pipeline = lane.work, lane.pipeline
        match action:
            case events.DoRead():
                self._read(lane, action)
            case events.DoWrite():
                self._write(lane, action)
            case events.DoApply():
                assert lane.applying == action.op, "_write has begun it"
            case events.DoPublish():
                told = about(action.release, action.ours, pipeline.wall())
                self._submit(self.disk, lane, "publish", lambda: work.publish(action, told))
            case events.Arm():
                self.loop.at(action.at, lambda: self.handle(lane, action.event))
            case Wake():
                delay = max(0.0, action.at - pipeline.wall()) + 0.01
                self.loop.at(time.monotonic() + delay, lambda: self.do(lane, pipeline.wake(time.monotonic())))
            case Resolve():
                self._look_up(lane, action.hosts)
            case Inactivate():
                self._inactivate(lane, action)
            case events.Report():
                self._report(lane, action)
            case events.Refuse() | events.Unresolve():
                raise AssertionError("the pipeline keeps these to itself")

    def _provide(self, lane: Lane) -> None:
        """A Kamailio that is away may be one that does not start, for want of the very file that we keep."""
        state = lane.pipeline.state
        newest = state.newest
        if state.waits_for == "kamailio" and newest is not None and not state.halted:
            self.disk.submit(lambda: lane.work.provide(newest, state.ours))

    def read_ahead(self, lane: Lane) -> None:
        """A change is coming: read memory now, as the machine is going to ask for it."""
        state, now, ahead = lane.pipeline.state, time.monotonic(), lane.ahead
        action = events.DoRead(state.op + 1)
        if state.phase is not events.Phase.IDLE or now < state.not_before or (ahead and ahead.serves(action, now)):
            return
        lane.ahead = Ahead(action.op, now)
        known = state.memory if state.published else None
        if known is None:
            self._submit(self.rpc, lane, "read", lambda: lane.work.read(action))
        else:
            self._submit(self.rpc, lane, "read", lambda: lane.work.read_states(action, known))

    def _read(self, lane: Lane, action: events.DoRead) -> None:
        ahead, lane.ahead = lane.ahead, None
        if ahead is None or not ahead.serves(action, time.monotonic()):
            stage = "readback" if lane.pipeline.state.tries else "read"
            self._submit(self.rpc, lane, stage, lambda: lane.work.read(action))
        elif ahead.event is not None:
            event = ahead.event
            self.loop.take(lambda: self.handle(lane, event))

    def _write(self, lane: Lane, action: events.DoWrite) -> None:
        """From a file that is written there is but one way on (release.written): the RPC worker takes it at once, and
        writes the file itself where no resolver may keep it waiting.
        """
        if any(record.host or record.pinged_name for record in action.release.records):
            self.disk.submit(lambda: self._written(lane, action, self.rpc.submit))
        else:
            self.rpc.submit(lambda: self._written_here(lane, action))

    def _written_here(self, lane: Lane, action: events.DoWrite) -> None:
        apply: list[Call] = []
        with self.disk.turn:
            self._written(lane, action, apply.append)
        for job in apply:
            job()

    def _written(self, lane: Lane, action: events.DoWrite, then: Callable[[Call], object]) -> None:
        """Write the file, and give the reload to `then` where that could be done."""
        started = time.monotonic()
        event = lane.work.write(action)
        ended = time.monotonic()
        if isinstance(event, events.Wrote):
            lane.applying = action.op + 1
            apply = events.DoApply(action.op + 1)
            # Of what follows somebody is going to tell anyway.
            self.loop.leave(lambda: self._result(lane, "write", started, ended, event))
            then(lambda: self._timed(lane, "reload", lambda: lane.work.apply(apply)))
        else:
            self.loop.take(lambda: self._result(lane, "write", started, ended, event))

    def _submit(self, worker: Worker, lane: Lane, stage: str, job: Callable[[], Event]) -> None:
        worker.submit(lambda: self._timed(lane, stage, job))

    def _timed(self, lane: Lane, stage: str, job: Callable[[], Event]) -> None:
        """On a worker."""
        started = time.monotonic()
        event = job()
        ended = time.monotonic()
        self.loop.take(lambda: self._result(lane, stage, started, ended, event))

    def _result(self, lane: Lane, stage: str, started: float, ended: float, event: Event) -> None:
        trace = lane.trace
        if isinstance(event, events.Applied) and event.by_key:
            stage = "keys"
        trace.ms[stage] = trace.ms.get(stage, 0.0) + (ended - started) * 1000
        if trace.began and stage in ("reload", "keys", "readback"):
            trace.ms["verified" if stage == "readback" else "memory"] = (ended - trace.began) * 1000
        if isinstance(event, events.Applied):
            self._tell_states(lane, event)
        if isinstance(event, events.Busy):
            self.reporter.counters.busy(lane.pipeline.dataset.name)
        if lane.ahead is not None and stage == "read":
            lane.ahead.event = event
        else:
            self.handle(lane, event)

    def _tell_states(self, lane: Lane, event: events.Applied) -> None:
        name = lane.pipeline.dataset.name
        if event.put_back:
            states = {text(key): state for key, state in event.put_back[:SHOWN]}
            self.reporter.note(name, "states put back", count=len(event.put_back), states=states)
        if event.not_put_back:
            self.reporter.note(name, "cannot put back states changed during the change", reason=event.not_put_back)

    def _look_up(self, lane: Lane, hosts: tuple[Host, ...]) -> None:
        def job() -> None:
            lost = lane.work.failing(hosts)
            found = tuple(host for host in hosts if host not in lost)
            self.loop.post(lambda: self.do(lane, lane.pipeline.names_resolve(found, time.monotonic())))

        self.disk.submit(job)

    def _inactivate(self, lane: Lane, action: Inactivate) -> None:
        def job() -> None:
            try:
                lane.work.inactivate(action.keys)
            except RpcError as error:
                self.reporter.note(lane.pipeline.dataset.name, "not inactivated", reason=str(error))

        self.rpc.submit(job)

    def _report(self, lane: Lane, report: Report) -> None:
        pipeline = lane.pipeline
        lane.touched = time.monotonic()
        before = pipeline.previous
        ms = {}
        if report.verdict in (Verdict.PUBLISHED, Verdict.HELD):
            ms, lane.trace = lane.trace.ms, Trace()
            pipeline.previous = report.release
            self.remember(lane)
        self.reporter.report(pipeline.dataset.name, report, before, ms)

    def remember(self, lane: Lane) -> None:
        """Guards' memory and pin to disk."""
        memory = {"past": past.dump(lane.pipeline.past), "pinned": lane.pipeline.pinned, "paused": lane.pipeline.paused}
        name = lane.pipeline.dataset.name

        def job() -> None:
            try:
                lane.work.releases.remember(memory)
            except OSError as error:
                self.reporter.note(name, "cannot remember the guards' memory", reason=error.strerror)

        self.disk.submit(job)

    def _tick(self) -> None:
        for call in self.each_tick:
            call()
        for lane in self.lanes.values():
            self.handle(lane, events.Tick())
        self.loop.at(time.monotonic() + self._verify_every, self._tick)

    def _after(self) -> None:
        for call in list(self.after):
            call()
