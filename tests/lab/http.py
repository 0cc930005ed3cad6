"""What an engine, or a server of a test, serves over HTTP; metrics are read by Prometheus' own parser."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from prometheus_client.parser import text_string_to_metric_families

Metrics = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def get(listen: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and body. `listen`: HOST:PORT."""
    host, _, port = listen.rpartition(":")
    client = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=20)
    try:
        client.request(method, path, headers=headers)
        reply = client.getresponse()
        return reply.status, reply.read().decode()
    finally:
        client.close()


def post(listen: str, path: str, **form: str) -> tuple[int, str]:
    """Status and body of the answer to a form."""
    host, _, port = listen.rpartition(":")
    client = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=20)
    try:
        client.request("POST", path, urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})
        reply = client.getresponse()
        return reply.status, reply.read().decode()
    finally:
        client.close()


def get_json(listen: str, path: str) -> tuple[int, dict[str, Any]]:
    status, body = get(listen, path)
    return status, json.loads(body)


def readiness(listen: str) -> dict[str, Any]:
    """What /readyz says; its status must agree."""
    status, told = get_json(listen, "/readyz")
    assert status == (200 if told["ready"] else 503)
    return told


def metrics(text: str) -> Metrics:
    """(name, labels) -> value of an exposition."""
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def scrape(listen: str) -> Metrics:
    """Asked again where the decision thread is late, on a machine that stands still for moments."""
    for _ in range(5):
        status, text = get(listen, "/metrics")
        if status == 200:
            return metrics(text)
    raise AssertionError(f"{status}: {text}")


def value(found: Metrics, name: str, **labels: str) -> float | None:
    """None: there is no such sample."""
    return found.get((name, frozenset(labels.items())))
