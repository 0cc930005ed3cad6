"""The same thing in four places: what Consul says, what is staged, what the live file and Kamailio's memory hold."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.evidence import Memory, memory
from examples.demo.stage import Stage
from tests.lab import ConsulAgent

_WAIT = 0.3


@dataclass(frozen=True)
class Now:
    """URIs in each place. `consul`: with their status, None while Consul does not answer."""

    consul: Mapping[str, str] | None
    staging: frozenset[str]
    live: frozenset[str]
    memory: Memory
    names: Mapping[str, str]

    @property
    def uris(self) -> list[str]:
        """All that are anywhere, by name."""
        found = {*(self.consul or ()), *self.staging, *self.live, *self.memory}
        return sorted(found, key=lambda uri: (self.names.get(uri, "~"), uri))


def look(stage: Stage) -> Now:
    """Never raises over what is not there (any more)."""
    seen = memory(stage.seen.now())
    live = _list(stage.sbc.list_file)
    staging = live if stage.plain else _lines(stage.staging)
    return Now(_consul(stage.consul), staging, live, seen, dict(stage.names))


def _consul(consul: ConsulAgent) -> Mapping[str, str] | None:
    try:
        entries: Any = json.loads(consul.once("GET", "/v1/health/service/router", timeout=_WAIT)[1])
    except (OSError, ValueError):
        return None
    return {_uri(e["Service"]["Address"], e["Service"]["Port"]): _status(e["Checks"]) for e in entries}


def _status(checks: list[dict[str, Any]]) -> str:
    if any("_maintenance" in check["CheckID"] for check in checks):
        return "maintenance"
    found = {check["Status"] for check in checks}
    return next((status for status in ("critical", "warning") if status in found), "passing")


def _uri(address: object, port: object) -> str:
    return f"sip:{address}:{port}"


def _lines(path: Path) -> frozenset[str]:
    """URIs of staging, JSON Lines."""
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
    except (OSError, ValueError):
        return frozenset()
    return frozenset(_uri(record["address"], record["port"]) for record in records if "address" in record)


def _list(path: Path) -> frozenset[str]:
    """URIs of a dispatcher list."""
    try:
        return frozenset(re.findall(r"^\d+ (\S+)", path.read_text(), re.MULTILINE))
    except OSError:
        return frozenset()
