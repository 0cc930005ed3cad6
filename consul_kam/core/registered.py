"""What Consul is to know of this node, what an agent knows of it, and what can be done about it: plain values.

Fields and names are those of Consul's HTTP API (Agent: register service, list checks; Catalog: list nodes for service).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PASSING, CRITICAL = "passing", "critical"
OURS = "consul_kam"
"""What the reason of our own maintenance begins with."""
FOR_EVER = "87600h"
"""A maintenance check that is registered, not switched on, is a TTL check that nobody feeds (tool-facts.md)."""
NODE_MAINTENANCE = "_node_maintenance"


@dataclass(frozen=True, slots=True)
class Service:
    """One registered service; tags in order of text, none twice; meta in order of its keys."""

    id: str
    name: str
    tags: tuple[str, ...] = ()
    address: str = ""
    port: int = 0
    meta: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    """`Weights.Passing`."""

    @property
    def place(self) -> tuple[str, int]:
        return self.address, self.port

    @property
    def at(self) -> str:
        """For messages."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host or 'the address of its agent'}:{self.port}"


@dataclass(frozen=True, slots=True)
class Check:
    """One health check. Durations in s; an agent tells neither URL nor TTL of a check, so `notes` does."""

    id: str
    status: str = CRITICAL
    kind: str = ""
    """`http`, `ttl`, ..."""
    notes: str = ""
    output: str = ""
    """"" until it has run."""
    interval: float = 0.0
    timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the catalog; `service.address` is the node's where the service has none."""

    node: str
    service: Service


@dataclass(frozen=True, slots=True)
class Instance:
    """One of a service, as everybody sees it."""

    id: str
    node: str
    passing: bool
    why: str = ""
    """Why it is not."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at one agent showed."""

    node: str
    """The agent's node name, or "" where it may not tell us."""
    service: Service | None = None
    """What is registered there under our ID."""
    checks: tuple[Check, ...] = ()
    """That service's, and the node's maintenance."""
    old: Service | None = None
    """What is registered there under the ID that we had before."""
    catalog: tuple[Row, ...] | None = None
    """Who else has our ID; None where nobody can say now."""
    pinned_lives: bool | None = None
    """Whether the agent that we are registered with still is a living member; asked only where another one answered."""
    token: str = ""
    """Which token we asked with; "": none."""

    def check(self, id: str) -> Check | None:
        return next((check for check in self.checks if check.id == id), None)


@dataclass(frozen=True, slots=True)
class Record:
    """What outlives us, in the state directory: where we are registered, under which ID, since `register` on."""

    node: str = ""
    id: str = ""
    name: str = ""
    address: str = ""
    port: int = 0
    maintenance: str | None = None
    """The reason of somebody else's maintenance when last seen."""
    drain: str = ""
    """The reason of our own while a drain is under way."""
    token: str = ""
    """Which token the agent has of us: it tells the catalog of us with that, until it is told another."""

    def of(self, service: Service) -> bool:
        """Whether this is what we registered, at the place where we did."""
        return (self.id, self.name, self.address, self.port) == (service.id, service.name, *service.place)


def load(raw: object) -> Record:
    """A Record of JSON's types; what is damaged is no record."""
    given = raw if isinstance(raw, Mapping) else {}
    texts = dict.fromkeys(("node", "id", "name", "address", "maintenance", "drain", "token"), str)
    kinds: dict[str, type] = {**texts, "port": int}
    return Record(**{key: given[key] for key, kind in kinds.items() if isinstance(given.get(key), kind)})


@dataclass(frozen=True, slots=True)
class Register:
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deregister:
    id: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Take it out of the catalog: the agent that held it is no more."""

    node: str
    id: str


@dataclass(frozen=True, slots=True)
class DropCheck:
    id: str


@dataclass(frozen=True, slots=True)
class FeedTtl:
    id: str
    status: str


@dataclass(frozen=True, slots=True)
class ClearMaintenance:
    id: str


Action = Register | Deregister | Forget | DropCheck | FeedTtl | ClearMaintenance


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the configuration says. Durations in s."""

    service: Service
    url: str = ""
    """"": no HTTP check."""
    interval: float = 10.0
    timeout: float = 1.0
    deregister_after: float = 600.0
    ttl: float = 0.0
    """0: no TTL check."""

    @property
    def http_id(self) -> str:
        """The name that Consul itself gives the only check of a service, so that we inherit the article's."""
        return f"service:{self.service.id}"

    @property
    def ttl_id(self) -> str:
        return f"service:{self.service.id}:ttl"

    @property
    def maintenance_id(self) -> str:
        return f"_service_maintenance:{self.service.id}"

    @property
    def checks(self) -> tuple[Check, ...]:
        """As they shall be; status and output say nothing."""
        away = f"; deregistered after {self.deregister_after:g} s critical"
        found = []
        if self.url:
            notes = f"{OURS}: GET {self.url}{away}"
            found.append(Check(self.http_id, "", "http", notes, "", _whole(self.interval), _whole(self.timeout)))
        if self.ttl:
            found.append(Check(self.ttl_id, "", "ttl", f"{OURS}: said by the node, good for {self.ttl:g} s{away}"))
        return tuple(found)


def body(wanted: Wanted, status: str, maintenance: str | None = None) -> dict[str, Any]:
    """The body of `PUT /v1/agent/service/register`; checks that are new begin with `status`.

    `maintenance`: the reason of one that is registered in the same call, so that no moment passes without it.
    """
    service = wanted.service
    checks = [_definition(wanted, check) | {"Status": status} for check in wanted.checks]
    if maintenance is not None:
        kept = {"CheckID": wanted.maintenance_id, "Name": "Service Maintenance Mode", "Notes": maintenance}
        checks.append({**kept, "TTL": FOR_EVER, "Status": CRITICAL})
    return {
        "ID": service.id,
        "Name": service.name,
        "Tags": list(service.tags),
        "Address": service.address,
        "Port": service.port,
        "Meta": dict(service.meta),
        "Weights": {"Passing": service.weight, "Warning": 1},
        "EnableTagOverride": False,
        "Checks": checks,
    }


def nudge(body: Mapping[str, Any]) -> dict[str, Any]:
    """The same with small differences that nobody uses, to be registered just before it.

    An agent that is told what it knows believes that the catalog knows it too, and says nothing for a minute or more
    (Consul: agent/local/state.go, `InSync`; tried: 28 to 96 s after the servers lost their data).
    """
    checks = [check | {"Notes": f"{check['Notes']} (again)"} for check in body["Checks"]]
    return {**body, "Weights": body["Weights"] | {"Warning": 2}, "Checks": checks}


def _definition(wanted: Wanted, check: Check) -> dict[str, Any]:
    about: dict[str, Any] = {
        "CheckID": check.id,
        "Notes": check.notes,
        "DeregisterCriticalServiceAfter": _milliseconds(wanted.deregister_after),
    }
    if check.kind == "ttl":
        return about | {"Name": f"{OURS}: ready", "TTL": _milliseconds(wanted.ttl)}
    times = {"Interval": _milliseconds(wanted.interval), "Timeout": _milliseconds(wanted.timeout)}
    return about | {"Name": f"{OURS}: status page", "HTTP": wanted.url, "Method": "GET", **times}


def _whole(seconds: float) -> float:
    """In whole milliseconds, so that what comes back is what we said."""
    return max(1, round(seconds * 1000)) / 1000


def _milliseconds(seconds: float) -> str:
    return f"{round(_whole(seconds) * 1000)}ms"
