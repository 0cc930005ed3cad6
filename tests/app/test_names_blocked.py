"""A host name that is in memory and stops resolving: a reload would lose it, so it holds up the list, for a while."""

import hashlib

from consul_kam.core import events
from consul_kam.core.events import Verdict
from consul_kam.core.guards import Limits
from consul_kam.core.reach import hosts_of
from consul_kam.core.records import Host
from consul_kam.datasets import dataset
from tests.app.play import Play

DISPATCHER = dataset("dispatcher")
FIRST, NAMED, NEW = "sip:10.0.0.1", "sip:router.example", "sip:10.0.0.2"
HOLD_FOR = Limits().hold_for


class Named(Play):
    """Names resolve or not."""

    def __init__(self) -> None:
        super().__init__(DISPATCHER, self._write, "AX")
        self.resolves = True

    def stage(self, *uris: str) -> None:
        data = "".join(f"1 {uri}\n" for uri in uris).encode()
        answer = DISPATCHER.parse_native("list", data)
        self.do(self.pipeline.staged("", hashlib.sha256(data).hexdigest(), answer, "", self.clock))

    def _write(self, action: events.DoWrite) -> events.Event:
        hosts = tuple(sorted(hosts_of(action.release)))
        return events.Unresolved(action.op, hosts) if hosts and not self.resolves else events.Wrote(action.op)


def blocked() -> Named:
    """A new one comes while a name that is in memory does not resolve."""
    play = Named()
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
    play.do(play.pipeline.names_resolve((Host("router.example"),), play.clock))
    play.later(1.0)
    assert play.held() == [FIRST, NEW, NAMED]
    assert play.pipeline.failing == {}


def test_a_new_one_blocks_nobody() -> None:
    play = Named()
    play.stage(FIRST)
    play.resolves = False
    play.stage(FIRST, NAMED, NEW)
    assert play.held() == [FIRST, NEW]


def test_held_ones_whose_names_went_with_them_do_not_block_for_longer() -> None:
    play = Named()
    play.stage(*(f"sip:r{number}.example" for number in range(4)))
    play.resolves = False
    play.stage(NEW)
    assert len(play.held()) == 4
    assert len(play.pipeline.failing) == 4
    play.later(HOLD_FOR - 1)
    assert len(play.held()) == 4
    play.later(1.0)
    assert play.held() == [NEW]
