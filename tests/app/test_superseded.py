"""A list that a newer one overtakes while both wait: that is the older one's verdict, and the newer one still waits."""

import hashlib

from consul_kam.app.doing import Doing
from consul_kam.app.pipeline import Pipeline
from consul_kam.core import events
from consul_kam.core.events import Phase, Report, Verdict
from consul_kam.core.plan import Policy
from consul_kam.core.release import State
from consul_kam.datasets import dataset

DISPATCHER = dataset("dispatcher")


def stage(pipeline: Pipeline, number: int) -> list[Doing]:
    data = f"1 sip:10.0.0.1:{5000 + number}\n".encode()
    answer = DISPATCHER.parse_native("list", data)
    return pipeline.staged("", hashlib.sha256(data).hexdigest(), answer, "", 50.0)


def test_what_waits_for_kamailio_is_busy_however_often_it_changes() -> None:
    pipeline = Pipeline(DISPATCHER, Policy(), State(), lambda: 1000.0)
    stage(pipeline, 1)
    pipeline.on(events.Unreachable(pipeline.state.op, "cannot reach Kamailio"), 50.0)
    for number in (2, 3):
        told = [action.verdict for action in stage(pipeline, number) if isinstance(action, Report)]
        assert told == [Verdict.SUPERSEDED]
        assert pipeline.state.phase is Phase.WAITING
        assert pipeline.verdict is not None
        assert (pipeline.verdict.verdict, pipeline.verdict.reason) == (Verdict.BUSY, "cannot reach Kamailio")


def test_one_on_its_way_is_superseded_until_the_next_verdict() -> None:
    pipeline = Pipeline(DISPATCHER, Policy(), State(), lambda: 1000.0)
    stage(pipeline, 1)
    stage(pipeline, 2)
    assert pipeline.verdict is not None
    assert pipeline.verdict.verdict is Verdict.SUPERSEDED
