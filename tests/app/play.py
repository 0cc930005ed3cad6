"""One list's pipeline played without a thread: Kamailio does what it is asked, and timers go off in their order."""

from collections.abc import Callable
from dataclasses import dataclass, field

from consul_kam.app.doing import Doing, Resolve, Wake
from consul_kam.app.pipeline import Pipeline
from consul_kam.core import events
from consul_kam.core.dataset import Dataset
from consul_kam.core.events import Verdict
from consul_kam.core.plan import Policy
from consul_kam.core.records import Host, Memory, Seen
from consul_kam.core.state import State


@dataclass
class Play:
    """`write`: what becomes of a write. `state`: that of all in memory. `shut`: Kamailio's window. `clock`: s."""

    dataset: Dataset
    write: Callable[[events.DoWrite], events.Event]
    state: str
    clock: float = 1000.0
    shut: bool = False
    memory: Memory = ()
    verdicts: list[tuple[Verdict, str]] = field(default_factory=list)
    looked_up: tuple[Host, ...] = ()
    timers: list[tuple[float, Callable[[], list[Doing]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        state = State(ordered=self.dataset.ordered)
        self.pipeline = Pipeline(self.dataset, Policy(), state, lambda: self.clock)

    def do(self, todo: list[Doing]) -> None:
        while todo:
            todo = self._carry_out(todo[0]) + todo[1:]

    def later(self, seconds: float) -> None:
        end = self.clock + seconds
        while due := [each for each in self.timers if each[0] <= end]:
            first = min(due, key=lambda each: each[0])
            self.timers.remove(first)
            self.clock = max(self.clock, first[0])
            self.do(first[1]())
        self.clock = end

    def held(self) -> list[object]:
        """What memory holds, without its sets."""
        return sorted(entry.key[1] for entry in self.memory)

    def _carry_out(self, action: Doing) -> list[Doing]:
        pipeline = self.pipeline
        match action:
            case events.DoRead():
                return pipeline.on(events.Read(action.op, self.memory, True), self.clock)
            case events.DoWrite():
                return pipeline.on(self.write(action), self.clock)
            case events.DoApply():
                if self.shut:
                    return pipeline.on(events.Busy(action.op, self.clock + 1), self.clock)
                assert pipeline.state.target is not None
                self.memory = tuple(Seen(each.key, each.seen, self.state) for each in pipeline.state.target.records)
                return pipeline.on(events.Applied(action.op), self.clock)
            case events.DoPublish():
                return pipeline.on(events.Published(action.op), self.clock)
            case events.Arm(event, at):
                self.timers.append((at, lambda: pipeline.on(event, self.clock)))
            case Wake(at):
                self.timers.append((at, lambda: pipeline.wake(self.clock)))
            case events.Report():
                self.verdicts.append((action.verdict, action.reason))
            case Resolve():
                self.looked_up = action.hosts
        return []
