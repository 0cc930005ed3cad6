"""A recording, played: staging files through validation, guards, order and release machine on a clock of its own,
against a Kamailio in memory that takes what it is given. What would have gone live when?
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from typing import Any

from consul_kam.app.doing import Doing, Inactivate, Resolve, Wake
from consul_kam.app.intake import parsed
from consul_kam.app.limits import policy
from consul_kam.app.ordering import Ordering
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.recording import Staged, recorded
from consul_kam.app.reports import REPEATED, entry_of, text
from consul_kam.config import DatasetSettings, Settings
from consul_kam.core import events
from consul_kam.core.events import Report, Verdict
from consul_kam.core.guards import MEMORY, Hold
from consul_kam.core.records import Key, Memory, Release, Seen
from consul_kam.core.state import State
from consul_kam.datasets import dataset
from consul_kam.errors import ConfigError, ListError

Call = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Tried:
    """Settings to try; None: as configured. `window`: s for which Kamailio refuses a reload after the last one."""

    min_records: int | None = None
    max_shrink: float | None = None
    hold_for: float | None = None
    window: float | None = None

    def of(self, chosen: DatasetSettings) -> DatasetSettings:
        """The settings of a dataset with these."""
        given = {name: getattr(self, name) for name in ("min_records", "max_shrink", "hold_for")}
        return replace(chosen, **{name: value for name, value in given.items() if value is not None})


@dataclass(slots=True)
class Track:
    """One list, and the part of Kamailio that holds it."""

    pipeline: Pipeline
    window: float
    memory: Memory = ()
    wrote: Release | None = None
    closed_until: float = 0.0
    said: tuple[Verdict, str] | None = None
    holds: dict[Key, Hold] = field(default_factory=dict)
    """Those that are held now."""


class Clock:
    """Calls in the order of their times; those of one time in the order asked for."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Call]] = []
        self._count = 0

    def at(self, when: float, call: Call) -> None:
        """Call at this time, or now where that is over."""
        self._count += 1
        heappush(self._due, (max(when, self.now), self._count, call))

    def run(self, until: float, after: Callable[[], None]) -> None:
        """All calls up to a time; `after` is called after each."""
        while self._due and self._due[0][0] <= until:
            self.now, _, call = heappop(self._due)
            call()
            after()
        self.now = max(self.now, until)


class Player:
    """Plays what is staged. It is what `Ordering` needs of an engine: lanes, loop, reporter, after, do."""

    def __init__(self, settings: Settings, tried: Tried, names: Iterable[str]) -> None:
        """`names`: the datasets that play. Raises ConfigError."""
        self._settings, self._tried = settings, tried
        self.loop, self.reporter = Clock(), self
        self.after: list[Callable[[], None]] = []
        self.entries: list[dict[str, Any]] = []
        self.holds: list[dict[str, Any]] = []
        self.lanes = {name: self._track(settings.dataset(name)) for name in names}
        order = [name for name in settings.order if name in self.lanes]
        now = lambda: self.loop.now  # noqa: E731
        self._ordering = Ordering(self, settings.datasets, order, settings.order_wait, now)

    def _track(self, chosen: DatasetSettings) -> Track:
        found, tried = dataset(chosen.name), self._tried.of(chosen)
        least = self._settings.kamailio.min_gap
        gap = found.gap.seconds if least is None else lambda records: least
        state = State(gap=gap, ordered=found.ordered)
        pipeline = Pipeline(found, policy(self._settings, tried), state, lambda: self.loop.now, parts=chosen.parts)
        return Track(pipeline, found.window.seconds if self._tried.window is None else self._tried.window)

    def staged(self, change: Staged) -> None:
        """A staging file was written; time goes on until then."""
        self.loop.run(change.at, self._look)
        self.loop.at(change.at, lambda: self._take_in(change))
        self.loop.run(change.at, self._look)

    def finish(self) -> None:
        """Time goes on until nothing is to come any more."""
        longest = max((track.pipeline.policy.limits.hold_for for track in self.lanes.values()), default=0.0)
        self.loop.run(self.loop.now + 2 * (longest + MEMORY), self._look)

    # -- an engine's shell --------------------------------------------------------------------------------------------

    def note(self, dataset: str, event: str, **facts: Any) -> None:
        """What is worth a line beside verdicts."""
        self.entries.append({"at": self.loop.now, "dataset": dataset, "event": event, **facts})

    def do(self, lane: Track, doing: list[Doing]) -> None:
        """Carry out what a pipeline asks for: at once, and always with success."""
        for action in doing:
            self._start(lane, action)

    def _take_in(self, change: Staged) -> None:
        lane, place = self.lanes[change.dataset], f"{change.dataset}@{change.part}".rstrip("@")
        if change.part not in lane.pipeline.parts:
            lane.pipeline.parts += (change.part,)
        # Its time is its digest: the engine passes over what is as it was, and a recording has only what is new.
        try:
            answer = parsed(lane.pipeline.dataset, place, change.content)
        except ListError as error:
            self.do(lane, lane.pipeline.staged(change.part, str(change.at), None, str(error), self.loop.now))
        else:
            self.do(lane, lane.pipeline.staged(change.part, str(change.at), answer, "", self.loop.now))

    def _start(self, lane: Track, action: Doing) -> None:
        pipeline = lane.pipeline
        match action:
            case events.DoRead(op):
                self._later(lane, lambda: events.Read(op, lane.memory))
            case events.DoWrite(op, release):
                lane.wrote = release
                self._later(lane, lambda: events.Wrote(op))
            case events.DoApply(op):
                self._later(lane, lambda: self._applied(lane, op))
            case events.DoPublish(op):
                self._later(lane, lambda: events.Published(op))
            case events.Arm(event, at):
                self.loop.at(at, lambda: self.do(lane, pipeline.on(event, self.loop.now)))
            case Wake(at):
                self.loop.at(at, lambda: self.do(lane, pipeline.wake(self.loop.now)))
            case Resolve(hosts):
                self.loop.at(self.loop.now, lambda: self.do(lane, pipeline.names_resolve(hosts, self.loop.now)))
            case Report():
                self._report(lane, action)
            case Inactivate() | events.Refuse() | events.Unresolve():
                return

    def _later(self, lane: Track, result: Callable[[], events.Event]) -> None:
        self.loop.at(self.loop.now, lambda: self.do(lane, lane.pipeline.on(result(), self.loop.now)))

    def _applied(self, lane: Track, op: int) -> events.Event:
        window, now, wrote = lane.pipeline.dataset.window, self.loop.now, lane.wrote
        assert wrote is not None
        if now < lane.closed_until:
            lane.closed_until = now + lane.window if window.attempts_count else lane.closed_until
            return events.Busy(op, lane.closed_until)
        lane.closed_until = now + lane.window
        lane.memory = tuple(Seen(r.key, r.seen, disabled=r.key in wrote.disabled) for r in wrote.records)
        return events.Applied(op)

    def _report(self, lane: Track, report: Report) -> None:
        pipeline = lane.pipeline
        said = report.verdict, report.release.digest if report.release is not None else report.reason
        if report.verdict in REPEATED and lane.said == said:
            return
        lane.said = said
        entry = entry_of(pipeline.dataset.name, report, pipeline.previous, {}, self.loop.now)
        if report.verdict in (Verdict.PUBLISHED, Verdict.HELD):
            pipeline.previous = report.release
        self.entries.append(entry)

    # -- what becomes of holds ----------------------------------------------------------------------------------------

    def _look(self) -> None:
        for call in self.after:
            call()
        for lane in self.lanes.values():
            self._follow_holds(lane)

    def _follow_holds(self, lane: Track) -> None:
        past = lane.pipeline.past
        for key in [key for key in lane.holds if key not in past.holds]:
            hold = lane.holds.pop(key)
            self.holds.append(self._hold(lane, key, hold, "came back" if key in past.live else "let go"))
        lane.holds.update(past.holds)

    def _hold(self, lane: Track, key: Key, hold: Hold, end: str) -> dict[str, Any]:
        until = self.loop.now if end else hold.until
        name = lane.pipeline.dataset.name
        return {"dataset": name, "key": text(key), "why": hold.why, "since": hold.left, "until": until, "end": end}

    def found(self) -> dict[str, Any]:
        """All of it, for people and programs."""
        still = [self._hold(lane, key, hold, "") for lane in self.lanes.values() for key, hold in lane.holds.items()]
        final = {name: [record.line for record in (lane.pipeline.state.target or EMPTY).records]
                 for name, lane in self.lanes.items()}  # fmt: skip
        return {
            "entries": self.entries,
            "holds": sorted(self.holds + still, key=lambda each: each["since"]),
            "final": final,
        }


EMPTY = Release("", ())


def replay(settings: Settings, file: str, only: str | None, tried: Tried) -> dict[str, Any]:
    """What would have become of a recording (`-`: standard input). Raises ListError, ConfigError.

    `began`: the first change's time; `entries`: as in the journal; `holds`: each with since, until (None: no end in
    sight) and end ("let go", "came back", "": still held); `final`: the lists in the end.
    """
    try:
        with contextlib.nullcontext(sys.stdin.buffer) if file == "-" else open(file, "rb") as given:
            changes = [each for each in recorded(file, given) if only in (None, each.dataset)]
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from None
    return {"began": changes[0].at if changes else None, **play(settings, changes, tried)}


def play(settings: Settings, changes: list[Staged], tried: Tried) -> Mapping[str, Any]:
    """Play these. Raises ConfigError."""
    player = Player(settings, tried, dict.fromkeys(change.dataset for change in changes))
    for change in changes:
        player.staged(change)
    player.finish()
    return player.found()
