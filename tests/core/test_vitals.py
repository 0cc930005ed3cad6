"""How values are spread, and which samples the table of metrics makes of a node."""

import re
from dataclasses import replace

import pytest

from consul_kam.core import drain
from consul_kam.core.events import Phase, Verdict
from consul_kam.core.metrics import FACTS, METRICS, Kind, Sample
from consul_kam.core.vitals import (
    DrainVitals,
    EnvironmentVitals,
    ListVitals,
    ProbeVitals,
    ProcessVitals,
    Spread,
    Vitals,
)
from tests.core.vitals import FULL, LIST

BARE = Vitals("1", "3.11.2", "n", "", 1.0, True, {}, None)


def samples(vitals: Vitals, name: str) -> list[Sample]:
    return [sample for metric in METRICS if metric.name == name for sample in metric.samples(vitals)]


@pytest.mark.parametrize(("value", "counts"), [(0.0, (1, 0, 0)), (1.0, (1, 0, 0)), (1.5, (0, 1, 0)), (9.0, (0, 0, 1))])
def test_a_value_belongs_to_the_first_bound_that_it_is_not_above(value: float, counts: tuple[int, ...]) -> None:
    assert Spread.over((1, 2)).with_value(value) == Spread((1, 2), counts, value)


def test_a_spread_stays_as_it_is() -> None:
    before = Spread.over((1,))
    assert before.with_value(1).with_value(3) == Spread((1,), (1, 1), 4)
    assert before == Spread((1,), (0, 0), 0.0)


def test_a_node_is_ready_where_nothing_holds_it_back() -> None:
    assert BARE.ready
    assert not FULL.ready


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_metric_has_samples_and_keeps_the_rules_of_names(metric) -> None:  # type: ignore[no-untyped-def]
    found = list(metric.samples(FULL))
    assert found
    assert all(len(labels) == len(metric.labels) for labels, _ in found)
    assert all(isinstance(value, Spread) == (metric.kind is Kind.HISTOGRAM) for _, value in found)
    assert re.fullmatch(r"consul_kam(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.help.endswith(".")


def test_names_are_given_once() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_what_is_not_known_has_no_sample() -> None:
    unknown = replace(
        BARE,
        lists=(ListVitals("domain", "IDLE"),),
        processes=(ProcessVitals("kamailio", False),),
        probes=(ProbeVitals("rpc", None),),
    )
    for name in ("rpc_up", "registered", "registration_trouble", "memory_equal", "memory_records", "probe_healthy",
                 "process_rss_bytes", "last_publish_timestamp_seconds", "change_duration_seconds", "drain_phase",
                 "drain_calls", "vault_up", "vault_logged_in", "secret_usable",
                 "environment_restart_variables", "environment_restart_seconds"):  # fmt: skip
        assert samples(unknown, f"consul_kam_{name}") == [], name
    assert samples(unknown, "consul_kam_process_up") == [(("kamailio",), False)]


def test_a_secret_without_an_end_has_no_seconds_left() -> None:
    assert samples(FULL, "consul_kam_secret_expires_seconds") == [(("db",), 42.5)]
    assert samples(FULL, "consul_kam_secret_usable") == [(("db",), True), (("api",), False)]
    assert samples(FULL, "consul_kam_secret_failures_total") == [(("db",), 1), (("api",), 0)]


def test_a_restart_that_is_waited_for() -> None:
    assert samples(FULL, "consul_kam_environment_restart_variables") == [((), 2)]
    assert samples(FULL, "consul_kam_environment_restart_seconds") == [((), 61.5)]
    unknown = replace(FULL, environment=EnvironmentVitals(None))
    for name in ("variables", "seconds"):
        assert samples(unknown, f"consul_kam_environment_restart_{name}") == []


def test_the_phase_is_one_of_all_and_each_verdict_counts_from_0() -> None:
    phases = dict(samples(FULL, "consul_kam_phase"))
    assert [labels for labels, on in phases.items() if on] == [("htable:a", "IDLE")]
    assert len(phases) == len(Phase)
    verdicts = dict(samples(FULL, "consul_kam_releases_total"))
    assert verdicts == {("htable:a", v.value): 8 if v is Verdict.PUBLISHED else 0 for v in Verdict}


def test_the_phase_of_a_drain_is_one_of_all_and_calls_are_those_that_are_known() -> None:
    phases = dict(samples(FULL, "consul_kam_drain_phase"))
    assert phases == {(phase.value,): phase is drain.Phase.REFUSING for phase in drain.Phase}
    assert samples(FULL, "consul_kam_drain_calls") == [((), 3)]
    none = replace(FULL, drain=DrainVitals("NONE"))
    assert dict(samples(none, "consul_kam_drain_phase"))["NONE",]
    assert samples(none, "consul_kam_drain_calls") == []
    assert samples(replace(FULL, drain=DrainVitals("DRAINED", 0)), "consul_kam_drain_calls") == [((), 0)]


def test_a_probe_that_tells_too_much_is_cut_short() -> None:
    chatty = replace(FULL, probes=(ProbeVitals("rpc", True, facts={f"n{n:03}": 1.0 for n in range(999)}),))
    assert len(samples(chatty, "consul_kam_probe_fact")) == FACTS


def test_stages_that_nobody_knows_are_not_shown() -> None:
    odd = replace(LIST, tally=replace(LIST.tally, stages={"odd": Spread((), (1,)), "read": Spread((), (1,))}))
    assert samples(replace(FULL, lists=(odd,)), "consul_kam_change_duration_seconds") == [
        (("htable:a", "read"), Spread((), (1,)))
    ]
