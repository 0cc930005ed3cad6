"""A host name that is in memory and stops resolving: a reload would lose it, so it holds up the list, for a while."""

import hashlib
from dataclasses import dataclass, field

from consul_kam.app.doing import Doing, Resolve
from consul_kam.app.pipeline import Pipeline
from consul_kam.core import events
from consul_kam.core.events import Verdict
from consul_kam.core.guards import Limits
from consul_kam.core.plan import Policy
from consul_kam.core.reach import hosts_of
from consul_kam.core.records import Host, Memory, Seen
from consul_kam.core.release import State
from consul_kam.datasets import dataset

DISPATCHER = dataset("dispatcher")
FIRST, NAMED, NEW = "sip:10.0.0.1", "sip:router.example", "sip:10.0.0.2"
HOLD_FOR = 60.0


@dataclass
class Play:
    """Kamailio and the disk do what is asked; a name resolves or not."""

    clock: list[float] = field(default_factory=lambda: [1000.0])
    resolves: bool = True
    memory: Memory = ()
    verdicts: list[tuple[Verdict, str]] = field(default_factory=list)
    looked_up: tuple[Host, ...] = ()

    def __post_init__(self) -> None:
        policy = Policy(Limits(hold_for=HOLD_FOR))
        self.pipeline = Pipeline(DISPATCHER, policy, State(ordered=True), lambda: self.clock[0])

    def stage(self, *uris: str) -> None:
        data = "".join(f"1 {uri}\n" for uri in uris).encode()
        answer = DISPATCHER.parse_native("list", data)
        self.do(self.pipeline.staged("", hashlib.sha256(data).hexdigest(), answer, "", self.clock[0]))

    def later(self, seconds: float) -> None:
        """Both timers, the machine's and the pipeline's, are due then."""
        self.clock[0] += seconds
        self.do(self.pipeline.on(events.Retry(self.pipeline.state.op), self.clock[0]))
        self.do(self.pipeline.wake(self.clock[0]))

    def do(self, doing: list[Doing]) -> None:
        for action in doing:
            event = self._event(action)
            if event is not None:
                self.do(self.pipeline.on(event, self.clock[0]))

    def _event(self, action: Doing) -> events.Event | None:
        match action:
            case events.DoRead():
                return events.Read(action.op, self.memory, True)
            case events.DoWrite():
                hosts = tuple(sorted(hosts_of(action.release)))
                return events.Unresolved(action.op, hosts) if hosts and not self.resolves else events.Wrote(action.op)
            case events.DoApply():
                assert self.pipeline.state.target is not None
                self.memory = tuple(Seen(r.key, r.seen, "AX") for r in self.pipeline.state.target.records)
                return events.Applied(action.op)
            case events.DoPublish():
                return events.Published(action.op)
            case events.Report():
                self.verdicts.append((action.verdict, action.reason))
            case Resolve():
                self.looked_up = action.hosts
        return None

    def held(self) -> list[object]:
        return sorted(entry.key[1] for entry in self.memory)


def blocked() -> Play:
    """A new one comes while a name that is in memory does not resolve."""
    play = Play()
    play.stage(FIRST, NAMED)
    assert play.held() == [FIRST, NAMED]
    play.resolves = False
    play.stage(FIRST, NAMED, NEW)
    return play


def test_it_blocks_the_list_is_named_and_looked_up_again() -> None:
    play = blocked()
    assert play.held() == [FIRST, NAMED]
    assert play.verdicts[-1] == (Verdict.BLOCKED, "cannot resolve router.example")
    play.later(HOLD_FOR - 1)
    assert play.held() == [FIRST, NAMED]
    assert play.looked_up == (Host("router.example"),)


def test_after_hold_for_it_goes_alone() -> None:
    play = blocked()
    play.later(HOLD_FOR)
    assert play.held() == [FIRST, NEW]
    assert play.verdicts[-1][0] is Verdict.PUBLISHED
    (problem,) = play.pipeline.last.dropped if play.pipeline.last is not None else ()
    assert "router.example does not resolve" in problem.reason


def test_one_that_resolves_again_goes_on_with_all() -> None:
    play = blocked()
    play.resolves = True
    play.do(play.pipeline.names_resolve((Host("router.example"),), play.clock[0]))
    play.later(1.0)
    assert play.held() == [FIRST, NEW, NAMED]
    assert play.pipeline.failing == {}


def test_a_new_one_blocks_nobody() -> None:
    play = Play()
    play.stage(FIRST)
    play.resolves = False
    play.stage(FIRST, NAMED, NEW)
    assert play.held() == [FIRST, NEW]


def test_held_ones_whose_names_went_with_them_do_not_block_for_longer() -> None:
    play = Play()
    play.stage(*(f"sip:r{number}.example" for number in range(4)))
    play.resolves = False
    play.stage(NEW)
    assert len(play.held()) == 4
    assert len(play.pipeline.failing) == 4
    play.later(HOLD_FOR - 1)
    assert len(play.held()) == 4
    play.later(1.0)
    assert play.held() == [NEW]
