"""Addresses that Kamailio cannot connect a socket to: its rtpengine module would let no list in any more."""

from collections.abc import Collection
from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.views import reason
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.events import Verdict
from consul_kam.core.plan import make_release
from consul_kam.core.records import Host, Release
from consul_kam.datasets import dataset
from consul_kam.testing import FakeKamailio
from tests.app.play import Play

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
    """But those of whom nobody knows, and a set's last name: Kamailio asks for it again, and needs the set to start."""
    work = working(tmp_path)
    wanted = release(GOOD, ALL, "udp:rtp.example:9", "udp:slow.example:9")
    assert work.lay_down(wanted, frozenset()) == ""
    assert urls(work) == {GOOD, "udp:slow.example:9"}
    assert work.lay_down(release("udp:rtp.example:9", ALL), frozenset()) == ""
    assert urls(work) == {"udp:rtp.example:9"}


def playing(directory: Path, shut: bool = False) -> tuple[Play, Work]:
    work = working(directory)
    return Play(RTPENGINE, work.write, "0", shut=shut), work


@pytest.mark.parametrize(("lost", "waits"), [(ALL, 0.0), ("udp:rtp.example:9", 60.0)])
def test_a_rollback_goes_without_it(tmp_path: Path, lost: str, waits: float) -> None:
    """Nothing is planned anew while a release is pinned. A name may resolve again within hold_for."""
    play, _ = playing(tmp_path)
    play.do(play.pipeline.pin("old", release(GOOD, lost), play.clock))
    if waits:
        play.later(waits - 1)
        assert (play.memory, play.verdicts[-1][0]) == ((), Verdict.BLOCKED)
    play.later(6)
    assert [entry.key[1] for entry in play.memory] == [GOOD]
    assert (play.pipeline.pinned, play.verdicts[-1][0]) == ("old", Verdict.PUBLISHED)


def test_a_window_that_stays_shut_is_told(tmp_path: Path) -> None:
    play, _ = playing(tmp_path, shut=True)
    assert reason(play.pipeline) == ""
    play.do(play.pipeline.pin("old", release(GOOD), play.clock))
    play.later(20.0)
    assert reason(play.pipeline) == "Kamailio's window opens in 1.0 s"
    play.later(2.0)
    said = "Kamailio's window has been shut for 22 s, 10 s are usual: somebody else reloads, or a node is loaded that"
    assert reason(play.pipeline).startswith(said)
    play.shut = False
    play.later(2.0)
    assert (reason(play.pipeline), play.verdicts[-1][0]) == ("", Verdict.PUBLISHED)
    play.shut = True
    play.do(play.pipeline.pin("older", release(GOOD, "udp:10.0.0.1:8"), play.clock))
    assert reason(play.pipeline) == "Kamailio's window opens in 1.0 s"


def test_a_name_that_resolves_again_while_pinned_is_not_lost_by_the_approval(tmp_path: Path) -> None:
    play, work = playing(tmp_path)
    play.pipeline.failing = {Host("rtp.example", 4): 0.0, Host("other.example", 4): 0.0}
    work.resolve = lambda hosts, deadline, surely: ()
    play.do(play.pipeline.pin("old", release(GOOD, "udp:rtp.example:9"), play.clock))
    assert play.pipeline.failing == {Host("other.example", 4): 0.0}


def test_a_name_that_nobody_looked_up_while_pinned_is_not_lost_by_the_approval(tmp_path: Path) -> None:
    play, work = playing(tmp_path)
    work.resolve = lambda hosts, deadline, surely: ()
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
