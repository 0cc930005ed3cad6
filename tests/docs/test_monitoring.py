"""What ships for Prometheus and Grafana asks only for what /metrics gives, by a real parser of PromQL."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from consul_kam.core.metrics import METRICS, Kind

REPO = Path(__file__).parents[2]
HOME = REPO / "examples" / "monitoring"
DASHBOARD: dict[str, Any] = json.loads((HOME / "grafana-dashboard.json").read_text(encoding="utf-8"))
RULES = [
    rule
    for group in yaml.safe_load((HOME / "consul_kam.rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
SCRAPE = yaml.safe_load((HOME / "prometheus.yml").read_text(encoding="utf-8"))
FROM_PROMETHEUS = {"job", "instance"}
"""Labels that each sample gets when it is scraped."""
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def series() -> dict[str, set[str]]:
    """Every series' name -> its labels."""
    found = {"up": set[str]()}
    for metric in METRICS:
        labels = set(metric.labels)
        if metric.kind is Kind.HISTOGRAM:
            found |= {
                f"{metric.name}_bucket": labels | {"le"},
                f"{metric.name}_sum": labels,
                f"{metric.name}_count": labels,
            }
        else:
            found[metric.name] = labels
    return found


SERIES = series()
LABELS = {label for labels in SERIES.values() for label in labels} | FROM_PROMETHEUS


def expressions() -> Iterator[tuple[str, str]]:
    """(where, PromQL), Grafana's own variables filled in."""
    for rule in RULES:
        yield rule["alert"], rule["expr"]
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target["expr"].replace("$__rate_interval", "1m")


def selectors(expr: str) -> list[Any]:
    found: list[Any] = []

    def visit(node: Any) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


@pytest.mark.parametrize(("where", "expr"), list(expressions()), ids=lambda text: text if len(text) < 40 else "")
def test_each_expression_asks_for_series_and_labels_that_there_are(where: str, expr: str) -> None:
    asked = selectors(expr)
    assert asked, where
    for selector in asked:
        assert selector.name in SERIES, where
        used = {matcher.name for matcher in selector.matchers.matchers}
        assert used <= SERIES[selector.name] | FROM_PROMETHEUS, where
    by = {name for group in re.findall(r"\b(?:by|on|group_left) \(([^)]*)\)", expr) for name in group.split(", ")}
    assert by <= LABELS, where


def test_no_name_of_ours_is_written_that_there_is_not() -> None:
    for path in HOME.iterdir():
        names = set(re.findall(r"\bconsul_kam_\w+", path.read_text(encoding="utf-8")))
        assert names <= SERIES.keys(), path.name


def test_each_metric_is_shown_or_alerted_of() -> None:
    asked = {selector.name for _, expr in expressions() for selector in selectors(expr)}
    shown = {metric.name for metric in METRICS if asked & {metric.name, f"{metric.name}_bucket"}}
    assert {metric.name for metric in METRICS} - shown == set()


def test_each_alert_says_what_it_is_where_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert "$labels.instance" in rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
        texts = " ".join(rule["annotations"].values())
        labels = SERIES[selectors(rule["expr"])[0].name] | FROM_PROMETHEUS
        assert set(re.findall(r"\$labels\.(\w+)", texts)) <= labels, rule["alert"]


def test_legends_name_labels_that_there_are() -> None:
    for panel in PANELS:
        for target in panel["targets"]:
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= LABELS, panel["title"]


def test_the_dashboard_is_laid_out_without_overlaps() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    taken = set[tuple[int, int]]()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_each_variable_of_the_dashboard_is_defined() -> None:
    defined = {variable["name"] for variable in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(DASHBOARD)))
    assert used == defined
    for variable in DASHBOARD["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert label in SERIES[metric] | FROM_PROMETHEUS


def test_the_scrape_configuration_finds_what_the_rules_ask_for() -> None:
    (job,) = SCRAPE["scrape_configs"]
    asked = {
        m.value for _, expr in expressions() for s in selectors(expr) for m in s.matchers.matchers if m.name == "job"
    }
    assert asked == {job["job_name"]}
    assert all((HOME / name).exists() for name in SCRAPE["rule_files"])


@pytest.mark.parametrize(("service", "node"), [("10.0.0.1", "10.0.0.9"), ("", "10.0.0.9")])
def test_a_node_is_scraped_at_its_service_address_or_else_its_node_address(service: str, node: str) -> None:
    relabel = SCRAPE["scrape_configs"][0]["relabel_configs"][0]
    found = re.fullmatch(relabel["regex"], f"{service};{node}")
    assert found is not None
    address = relabel["replacement"].replace("$1", found[1] or "").replace("$2", found[2] or "")
    assert address == f"{service or node}:9160"
