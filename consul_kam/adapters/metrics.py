"""Metrics as Prometheus' text, written by prometheus_client from values alone: no registry that outlives the call."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from consul_kam.core import metrics
from consul_kam.core.metrics import METRICS, Kind
from consul_kam.core.vitals import Spread, Vitals

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Once(Collector):
    """Collects one moment."""

    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[Metric]:
        for metric in METRICS:
            yield _family(metric, self._vitals)


def text(vitals: Vitals) -> bytes:
    """All metrics, in Prometheus' text format 0.0.4. From any thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Once(vitals))
    return generate_latest(registry)


def _family(metric: metrics.Metric, vitals: Vitals) -> Metric:
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, spread in metric.samples(vitals):
            assert isinstance(spread, Spread)
            histogram.add_metric(labels, _cumulative(spread), spread.total)
        return histogram
    kind = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in metric.samples(vitals):
        assert not isinstance(value, Spread)
        family.add_metric(labels, value)
    return family


def _cumulative(spread: Spread) -> list[tuple[str, float]]:
    """Prometheus' buckets count all values up to their bound."""
    bounds = [*map(floatToGoString, spread.bounds), "+Inf"]
    seen, buckets = 0, []
    for bound, count in zip(bounds, spread.counts, strict=True):
        seen += count
        buckets.append((bound, float(seen)))
    return buckets
