"""Timers of a pipeline: one that counts, however many changes order one."""

import hashlib

from consul_kam.app.doing import Doing, Wake
from consul_kam.app.pipeline import Pipeline
from consul_kam.core.plan import Policy
from consul_kam.core.records import Host
from consul_kam.core.release import State
from consul_kam.datasets import dataset

DISPATCHER = dataset("dispatcher")


def stage(pipeline: Pipeline, number: int, now: float) -> list[Doing]:
    data = f"1 sip:10.0.0.1:{5000 + number}\n1 sip:down.example\n".encode()
    answer = DISPATCHER.parse_native("list", data)
    return pipeline.staged("", hashlib.sha256(data).hexdigest(), answer, "", now)


def wakes(doing: list[Doing]) -> list[float]:
    return [action.at for action in doing if isinstance(action, Wake)]


def test_changes_while_a_name_does_not_resolve_add_no_timers() -> None:
    clock = [1000.0]
    pipeline = Pipeline(DISPATCHER, Policy(), State(), lambda: clock[0], failing={Host("down.example"): 1000.0})
    ordered = [at for number in range(100) for at in wakes(stage(pipeline, number, 50.0))]
    assert ordered == [1005.0]
    assert pipeline.wake(54.9) == []
    clock[0] = 1005.0
    assert wakes(pipeline.wake(55.0)) == [1010.0]
    assert pipeline.wake(55.1) == []


def test_an_earlier_moment_overtakes_the_one_that_was_ordered() -> None:
    pipeline = Pipeline(
        DISPATCHER, Policy(), State(), lambda: 1000.0, awake_at=90.0, failing={Host("down.example"): 1000.0}
    )
    assert wakes(stage(pipeline, 1, 50.0)) == [1005.0]
    clock_back = pipeline.wake(55.0)
    assert wakes(clock_back) == [1005.0]
