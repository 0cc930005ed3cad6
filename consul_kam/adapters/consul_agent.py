"""One agent's word on our registration, and what is done about it there. Every method raises ConsulError.

Consul HTTP API: Agent (services, checks), Catalog (list nodes for service, deregister), Health (list checks for node).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from consul_kam.adapters.consul import Consul, Response, hidden_from_us
from consul_kam.core.registered import (
    NODE_MAINTENANCE,
    PASSING,
    Action,
    Check,
    ClearMaintenance,
    Deregister,
    DropCheck,
    FeedTtl,
    Forget,
    Instance,
    Register,
    Row,
    Seen,
    Service,
)
from consul_kam.errors import ConsulError, ConsulRefused

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_SERF = "serfHealth"
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")


class ConsulAgent:
    """`consul` is for this one's use alone: its connection stays open."""

    def __init__(self, consul: Consul) -> None:
        self._consul = consul

    def look(self, id: str, name: str, old: str = "", pinned: str = "", catalog: bool = True) -> Seen:
        """What stands there under `id` and under `old`, who else has `id` in service `name`, and, where another agent
        than `pinned` answers, whether that one lives. `catalog`: whether to ask beyond the agent at all."""
        service = self._service(id)
        checks = self._checks(id)
        node = checks[0][0] if checks else self.node()
        return Seen(
            node=node,
            service=service,
            checks=tuple(check for _, check in checks),
            old=self._service(old) if old and old != id else None,
            catalog=self._catalog(id, name) if catalog else None,
            token=self._consul.token_print,
            pinned_lives=self._lives(pinned) if catalog and pinned and node not in ("", pinned) else None,
        )

    def do(self, action: Action) -> None:
        """What is gone already is no error where it shall go."""
        put = self._consul.put
        match action:
            case Register(body):
                _there(put("/v1/agent/service/register", dict(body)))
            case Deregister(id):
                put(f"/v1/agent/service/deregister/{id}")
            case DropCheck(id):
                put(f"/v1/agent/check/deregister/{id}")
            case FeedTtl(id, status):
                said = "ready" if status == PASSING else "not ready"
                _there(put(f"/v1/agent/check/update/{id}", {"Status": status, "Output": said}))
            case ClearMaintenance(id):
                put(f"/v1/agent/service/maintenance/{id}", None, ("enable", "false"))
            case Forget(node, id):
                put("/v1/catalog/deregister", {"Node": node, "ServiceID": id})

    def instances(self, name: str) -> tuple[Instance, ...]:
        """All of a service that Consul knows of, whatever their health, in order of their IDs."""
        answer = _there(self._consul.get(f"/v1/health/service/{name}"))
        if answer.filtered:
            raise ConsulError(f"cannot see all of service {name}: {hidden_from_us(f'service {name}')}")
        found = [_table(each) for each in _list(answer.json())]
        return tuple(sorted((_instance(each) for each in found), key=lambda each: (each.id, each.node)))

    def node(self) -> str:
        """The agent's node name; "" where our token may not ask (it needs agent:read)."""
        try:
            found = _there(self._consul.get("/v1/agent/self")).json()
        except ConsulRefused as refused:
            if refused.code == 403:
                return ""
            raise
        return _text(_table(_table(found), "Config"), "NodeName")

    def _service(self, id: str) -> Service | None:
        answer = self._consul.get(f"/v1/agent/service/{id}")
        if answer.code == 404:
            return None
        found = _table(answer.json())
        return Service(
            _text(found, "ID"),
            _text(found, "Service"),
            _tags(found, "Tags"),
            _text(found, "Address"),
            _number(found, "Port"),
            _meta(found, "Meta"),
            _weight(found, "Weights"),
        )

    def _checks(self, id: str) -> list[tuple[str, Check]]:
        """(node, check) of each."""
        which = ("filter", f'ServiceID == "{id}" or CheckID == "{NODE_MAINTENANCE}"')
        found = _table(_there(self._consul.get("/v1/agent/checks", which)).json())
        checks = [_table(check) for check in found.values()]
        return [(_text(check, "Node"), _check(check)) for check in checks]

    def _catalog(self, id: str, name: str) -> tuple[Row, ...] | None:
        """None while there is no leader, and where ACLs hide something."""
        try:
            answer = _there(self._consul.get(f"/v1/catalog/service/{name}", ("filter", f'ServiceID == "{id}"')))
        except ConsulError:
            return None
        return None if answer.filtered else tuple(_row(_table(each)) for each in _list(answer.json()))

    def _lives(self, node: str) -> bool | None:
        try:
            answer = _there(self._consul.get(f"/v1/health/node/{node}"))
        except ConsulError:
            return None
        # Whether it lives is the node's own check: those of services that our token may not read hide nothing of that.
        checks = {each.get("CheckID"): each.get("Status") for each in map(_table, _list(answer.json()))}
        if _SERF not in checks and (
            checks or answer.filtered
        ):  # servers that were built anew may know its checks before they know itself
            return None
        return checks.get(_SERF) == PASSING


def _instance(found: Mapping[str, Any]) -> Instance:
    """Maintenance counts over critical, as in consul-template."""
    checks = [_table(check) for check in _list(found.get("Checks"))]
    aside = [
        check for check in checks if _text(check, "CheckID").startswith(("_service_maintenance:", NODE_MAINTENANCE))
    ]
    bad = [check for check in checks if check.get("Status") != PASSING]
    node = _text(_table(found, "Node"), "Node")
    id = _text(_table(found, "Service"), "ID")
    if aside:
        return Instance(id, node, False, f"maintenance: {_text(aside[0], 'Notes') or 'no reason'}")
    why = f"{_text(bad[0], 'CheckID')} is {_text(bad[0], 'Status')}" if bad else ""
    return Instance(id, node, not bad, why)


def _check(found: Mapping[str, Any]) -> Check:
    return Check(
        _text(found, "CheckID"),
        _text(found, "Status"),
        _text(found, "Type"),
        _text(found, "Notes"),
        _text(found, "Output"),
        seconds(_text(found, "Interval")),
        seconds(_text(found, "Timeout")),
    )


def _row(found: Mapping[str, Any]) -> Row:
    service = Service(
        _text(found, "ServiceID"),
        _text(found, "ServiceName"),
        _tags(found, "ServiceTags"),
        _text(found, "ServiceAddress") or _text(found, "Address"),
        _number(found, "ServicePort"),
        _meta(found, "ServiceMeta"),
        _weight(found, "ServiceWeights"),
    )
    return Row(_text(found, "Node"), service)


def seconds(duration: str) -> float:
    """A duration as Go writes it ("1m0.5s"), in s; 0 where it is none."""
    return round(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(duration)), 6)


def _there(answer: Response) -> Response:
    if answer.code == 404:
        raise ConsulRefused(f"cannot find what was asked for: 404 {' '.join(answer.body.split())[:200]}", 404)
    return answer


def _strange(what: str, value: object) -> ConsulError:
    return ConsulError(f"cannot understand Consul: expected {what}, got {str(value)[:80]!r}")


def _table(value: Any, key: str | None = None) -> Mapping[str, Any]:
    found = value if key is None else value.get(key)
    if not isinstance(found, dict):
        raise _strange(key or "a table", found)
    return found


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise _strange("a list", value)
    return value


def _text(table: Mapping[str, Any], key: str) -> str:
    found = table.get(key)
    if not isinstance(found, str):
        raise _strange(f"a text {key}", found)
    return found


def _number(table: Mapping[str, Any], key: str) -> int:
    found = table.get(key)
    if not isinstance(found, int):
        raise _strange(f"a number {key}", found)
    return found


def _tags(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    return tuple(sorted({str(tag) for tag in _list(table.get(key) or [])}))


def _meta(table: Mapping[str, Any], key: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((str(name), str(value)) for name, value in _table(table.get(key) or {}).items()))


def _weight(table: Mapping[str, Any], key: str) -> int:
    return _number(_table(table.get(key) or {"Passing": 1}), "Passing")
