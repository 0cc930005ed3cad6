"""Addresses that Kamailio cannot connect a socket to: its rtpengine module would let no list in any more."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.doing import Doing, Wake
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.views import reason
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.events import Verdict
from consul_kam.core.plan import Policy, make_release
from consul_kam.core.records import Host, Memory, Release, Seen
from consul_kam.core.state import State
from consul_kam.datasets import dataset
from consul_kam.testing import FakeKamailio

RTPENGINE = dataset("rtpengine")
GOOD, ALL = "udp:10.0.0.1:9", "udp:255.255.255.255:9"


def staging(*urls: str) -> bytes:
    lines = "".join(f'{{"url":"{url}","status":"passing"}}\n' for url in urls)
    return (lines + f'{{"end":"rtpengine","records":{len(urls)}}}\n').encode()


def release(*urls: str) -> Release:
    return make_release(RTPENGINE.parse_staging("rtpengine", staging(*urls)).records)


def failing(hosts: Collection[Host], deadline: float, surely: bool) -> tuple[Host, ...]:
    good = {"10.0.0.1", "slow.example"} if surely else {"10.0.0.1"}
    return tuple(sorted(host for host in hosts if host.name not in good))


def working(directory: Path) -> Work:
    return Work(RTPENGINE, FakeKamailio(), directory / "rtpengine", Releases(directory / "releases"), resolve=failing)


def urls(work: Work) -> set[object]:
    """In the live file."""
    answer = RTPENGINE.parse_native("rtpengine", work.live.read_bytes())
    return {record.key[1] for record in answer.records}


def written(work: Work, wanted: Release) -> events.Event:
    return work.write(events.DoWrite(1, wanted, (), frozenset(), frozenset()))


def test_it_is_not_written(tmp_path: Path) -> None:
    work = working(tmp_path)
    assert written(work, release(GOOD, ALL)) == events.Unresolved(1, (Host("255.255.255.255", 4),))
    assert not work.live.exists()
    assert written(work, release(GOOD)) == events.Wrote(1)


def test_names_and_addresses_together(tmp_path: Path) -> None:
    wanted = release(GOOD, ALL, "udp:rtp.example:9", "udp6:rtp.example:9")
    lost = Host("255.255.255.255", 4), Host("rtp.example", 4), Host("rtp.example", 6)
    assert written(working(tmp_path), wanted) == events.Unresolved(1, lost)


def test_a_kamailio_that_starts_gets_none_either(tmp_path: Path) -> None:
    work = working(tmp_path)
    """But those of whom nobody knows, and a set's last name: Kamailio asks for it again, and needs the set to start."""
    wanted = release(GOOD, ALL, "udp:rtp.example:9", "udp:slow.example:9")
    assert work.lay_down(wanted, frozenset()) == ""
    assert urls(work) == {GOOD, "udp:slow.example:9"}
    assert work.lay_down(release("udp:rtp.example:9", ALL), frozenset()) == ""
    assert urls(work) == {"udp:rtp.example:9"}


@dataclass
class Play:
    """Kamailio does what it is asked; its window is `shut`, or not; each timer goes off at once, at its time."""

    work: Work
    clock: float = 1000.0
    shut: bool = False
    memory: Memory = ()
    verdicts: list[Verdict] = field(default_factory=list)
    timers: list[tuple[float, Callable[[], list[Doing]]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pipeline = Pipeline(RTPENGINE, Policy(), State(), lambda: self.clock)

    def do(self, todo: list[Doing]) -> None:
        while todo:
            todo = self._carry_out(todo[0]) + todo[1:]

    def until(self, when: float) -> None:
        while due := [each for each in self.timers if each[0] <= when]:
            first = min(due, key=lambda each: each[0])
            self.timers.remove(first)
            self.clock = max(self.clock, first[0])
            self.do(first[1]())
        self.clock = when

    def _carry_out(self, action: Doing) -> list[Doing]:
        pipeline = self.pipeline
        match action:
            case events.DoRead():
                return pipeline.on(events.Read(action.op, self.memory, True), self.clock)
            case events.DoWrite():
                return pipeline.on(self.work.write(action), self.clock)
            case events.DoApply():
                if self.shut:
                    return pipeline.on(events.Busy(action.op, self.clock + 1), self.clock)
                assert pipeline.state.target is not None
                self.memory = tuple(Seen(record.key, record.seen, "0") for record in pipeline.state.target.records)
                return pipeline.on(events.Applied(action.op), self.clock)
            case events.DoPublish():
                return pipeline.on(events.Published(action.op), self.clock)
            case events.Arm(event, at):
                self.timers.append((at, lambda: pipeline.on(event, self.clock)))
            case Wake(at):
                self.timers.append((at, lambda: pipeline.wake(self.clock)))
            case events.Report():
                self.verdicts.append(action.verdict)
        return []


@pytest.mark.parametrize(("lost", "waits"), [(ALL, 0.0), ("udp:rtp.example:9", 60.0)])
def test_a_rollback_goes_without_it(tmp_path: Path, lost: str, waits: float) -> None:
    """Nothing is planned anew while a release is pinned. A name may resolve again within hold_for."""
    play = Play(working(tmp_path))
    play.do(play.pipeline.pin("old", release(GOOD, lost), play.clock))
    if waits:
        play.until(play.clock + waits - 1)
        assert (play.memory, play.verdicts[-1]) == ((), Verdict.BLOCKED)
    play.until(play.clock + 6)
    assert [entry.key[1] for entry in play.memory] == [GOOD]
    assert (play.pipeline.pinned, play.verdicts[-1]) == ("old", Verdict.PUBLISHED)


def test_a_window_that_stays_shut_is_told(tmp_path: Path) -> None:
    play = Play(working(tmp_path), shut=True)
    assert reason(play.pipeline) == ""
    play.do(play.pipeline.pin("old", release(GOOD), play.clock))
    play.until(1020.0)
    assert reason(play.pipeline) == "Kamailio's window opens in 1.0 s"
    play.until(1022.0)
    said = "Kamailio's window has been shut for 22 s, 10 s are usual: somebody else reloads, or a node is loaded that"
    assert reason(play.pipeline).startswith(said)
    play.shut = False
    play.until(1024.0)
    assert (reason(play.pipeline), play.verdicts[-1]) == ("", Verdict.PUBLISHED)
    play.shut = True
    play.do(play.pipeline.pin("older", release(GOOD, "udp:10.0.0.1:8"), play.clock))
    assert reason(play.pipeline) == "Kamailio's window opens in 1.0 s"


def test_a_name_that_resolves_again_while_pinned_is_not_lost_by_the_approval(tmp_path: Path) -> None:
    play = Play(working(tmp_path))
    play.pipeline.failing = {Host("rtp.example", 4): 0.0, Host("other.example", 4): 0.0}
    play.work.resolve = lambda hosts, deadline, surely: ()
    play.do(play.pipeline.pin("old", release(GOOD, "udp:rtp.example:9"), play.clock))
    assert play.pipeline.failing == {Host("other.example", 4): 0.0}


def test_a_name_that_nobody_looked_up_while_pinned_is_not_lost_by_the_approval(tmp_path: Path) -> None:
    play = Play(working(tmp_path))
    play.work.resolve = lambda hosts, deadline, surely: ()
    staged = RTPENGINE.parse_staging("rtpengine", staging(GOOD, "udp:rtp.example:9"))
    play.do(play.pipeline.staged("", "1", staged, "", play.clock))
    before = play.memory
    assert len(before) == 2
    play.do(play.pipeline.pin("old", release(GOOD, "udp:rtp.example:9"), play.clock))
    play.pipeline.failing = {Host("rtp.example", 4): 0.0}
    play.do(play.pipeline.approve(play.clock))
    assert play.memory == before
    assert play.pipeline.last is not None
    assert play.pipeline.last.dropped == ()
