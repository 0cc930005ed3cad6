"""Addresses that Kamailio cannot connect a socket to: its rtpengine module would let no list in any more."""

from collections.abc import Collection
from pathlib import Path

from consul_kam.adapters.releases import Releases
from consul_kam.app.doing import Doing
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


def release(*urls: str) -> Release:
    staged = "".join(f'{{"url":"{url}","status":"passing"}}\n' for url in urls)
    staged += f'{{"end":"rtpengine","records":{len(urls)}}}\n'
    return make_release(RTPENGINE.parse_staging("rtpengine", staged.encode()).records)


def failing(hosts: Collection[Host], deadline: float) -> tuple[Host, ...]:
    return tuple(sorted(host for host in hosts if host.name != "10.0.0.1"))


def working(directory: Path) -> Work:
    return Work(RTPENGINE, FakeKamailio(), directory / "rtpengine", Releases(directory / "releases"), resolve=failing)


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
    assert work.lay_down(release(GOOD, ALL, "udp:rtp.example:9"), frozenset()) == ""
    text = work.live.read_text()
    assert "10.0.0.1" in text
    assert "rtp.example" not in text
    assert "255.255.255.255" not in text


def test_a_rollback_goes_without_it(tmp_path: Path) -> None:
    """Nothing is planned anew while a release is pinned."""
    work, verdicts = working(tmp_path), list[Verdict]()
    pipeline = Pipeline(RTPENGINE, Policy(), State(), lambda: 1000.0)
    todo: list[Doing] = pipeline.pin("old", release(GOOD, ALL), 0.0)
    memory: Memory = ()
    while todo:
        match action := todo.pop(0):
            case events.DoRead():
                todo += pipeline.on(events.Read(action.op, memory, True), 0.0)
            case events.DoWrite():
                todo += pipeline.on(work.write(action), 0.0)
            case events.DoApply():
                assert pipeline.state.target is not None
                memory = tuple(Seen(record.key, record.seen, "0") for record in pipeline.state.target.records)
                todo += pipeline.on(events.Applied(action.op), 0.0)
            case events.DoPublish():
                todo += pipeline.on(events.Published(action.op), 0.0)
            case events.Report():
                verdicts.append(action.verdict)
    assert [entry.key[1] for entry in memory] == [GOOD]
    assert (pipeline.pinned, verdicts[-1]) == ("old", Verdict.PUBLISHED)


def test_where_one_is_loaded_all_the_same_the_window_that_stays_shut_is_told() -> None:
    clock = [1000.0]
    pipeline = Pipeline(RTPENGINE, Policy(), State(), lambda: clock[0])
    assert reason(pipeline) == ""
    todo: list[Doing] = pipeline.pin("old", release(GOOD), 0.0)
    while todo:
        match action := todo.pop(0):
            case events.DoRead():
                todo += pipeline.on(events.Read(action.op, (), True), 0.0)
            case events.DoWrite():
                todo += pipeline.on(events.Wrote(action.op), 0.0)
            case events.DoApply():
                todo += pipeline.on(events.Busy(action.op, 10.0), 0.0)
    for late, said in ((0.0, "Kamailio's window opens in 10.0 s"), (20.0, "Kamailio's window opens in 10.0 s")):
        clock[0] = 1000.0 + late
        assert reason(pipeline) == said
    clock[0] = 1021.0
    assert reason(pipeline).startswith(
        "Kamailio's window has been shut for 21 s, 10 s are usual: somebody else reloads"
    )
