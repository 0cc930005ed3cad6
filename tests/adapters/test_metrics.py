"""What the text of /metrics says, by Prometheus' own parser."""

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consul_kam.adapters import metrics, usage
from consul_kam.core.metrics import METRICS, Kind
from consul_kam.core.vitals import ListVitals
from tests.core.vitals import FULL
from tests.lab.http import metrics as read
from tests.lab.http import value


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_metric_is_there_with_its_help_and_type(metric) -> None:  # type: ignore[no-untyped-def]
    families = {family.name: family for family in text_string_to_metric_families(metrics.text(FULL).decode())}
    family = families[metric.name.removesuffix("_total")]  # which is what the parser takes off
    assert (family.documentation, family.type) == (metric.help, metric.kind.value)
    labels = {frozenset(sample.labels) - {"le"} for sample in family.samples}
    assert labels == {frozenset(metric.labels)}
    if metric.kind is not Kind.HISTOGRAM:
        found = {(tuple(s.labels[name] for name in metric.labels), s.value) for s in family.samples}
        assert found == {(labels, float(sample)) for labels, sample in metric.samples(FULL)}


def test_buckets_count_all_up_to_their_bound() -> None:
    found = read(metrics.text(FULL).decode())
    name = "consul_kam_change_duration_seconds"
    of = {"dataset": "htable:a", "stage": "reload"}
    by_bound = {le: value(found, f"{name}_bucket", le=le, **of) for le in ("0.001", "0.25", "0.5", "30.0", "+Inf")}
    assert by_bound == {"0.001": 1, "0.25": 1, "0.5": 2, "30.0": 2, "+Inf": 3}
    assert value(found, f"{name}_count", **of) == 3
    assert value(found, f"{name}_sum", **of) == pytest.approx(99.301)


def test_no_label_becomes_a_line_of_its_own() -> None:
    hostile = 'a"} 1\nconsul_kam_ready 1\\'
    found = read(metrics.text(replace(FULL, lists=(ListVitals(hostile, "IDLE", records=5),))).decode())
    assert value(found, "consul_kam_records", dataset=hostile) == 5
    assert value(found, "consul_kam_ready") == 0


def test_nothing_outlives_a_call() -> None:
    first = metrics.text(FULL)
    assert metrics.text(replace(FULL, lists=(), role="router")) != first
    assert metrics.text(FULL) == first


def test_our_own_use_is_what_the_kernel_says() -> None:
    rss, cpu = usage.own()
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line for line in lines if line.startswith("VmRSS")).split()[1]
    assert rss == pytest.approx(int(kilobytes) * 1024, rel=0.05)
    assert 0 < cpu <= usage.own()[1]
