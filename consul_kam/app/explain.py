"""`consul-kam explain`: asks Consul and the engine (or, where none runs, its files and Kamailio), and joins the two."""

import contextlib
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from consul_kam.adapters import consul_source, rpc
from consul_kam.adapters.consul import Consul, hidden_from_us
from consul_kam.app import lanes
from consul_kam.app.client import OutOfReach, request
from consul_kam.app.explaining import MOST, gather, with_live_file
from consul_kam.app.intake import read_staging
from consul_kam.config import DatasetSettings, Settings
from consul_kam.core.explain import Explained, explain
from consul_kam.core.known import Asks, Check, Facts, Instance, Listed, Subject
from consul_kam.core.meant import Meant, means_place, means_source, meant
from consul_kam.core.records import Source
from consul_kam.errors import ConsulError, ConsulRefused, RpcError

OTHERS = 50
"""Services that no set asks for and that are looked through where nothing else is found."""
LONGEST = 300
"""Letters of an ID and of a node's name: our templates cut what is longer."""


@dataclass
class FromConsul:
    """What Consul says of those who may be meant. `trouble`: why it could not be asked, by data centre; `hidden`: what
    it does not tell us of."""

    instances: list[Instance] = field(default_factory=list)
    keys: set[tuple[str, str]] = field(default_factory=set)
    """(data centre, KV path)."""
    trouble: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)


def explained(settings: Settings, what: str, consul: Consul) -> list[Explained]:
    """Every match of `what`, datasets in their order. Raises ConfigError, ConsulKamError."""
    who = meant(what)
    found = ask_consul(consul, settings, who)
    chosen = [each for each in found.instances if _is_meant(who, each)]
    told, trouble = _ask_engine(settings, what, chosen)
    listed = {each["name"]: Listed.load(each) for each in told["datasets"]}
    subjects = [Subject.load(each) for each in told["subjects"]]
    subjects += _unrendered(settings, listed, subjects, chosen)
    facts = [_facts(settings.dataset(s.dataset), listed[s.dataset], s, found, trouble) for s in subjects]
    return [explain(each) for each in facts]


def good(found: Iterable[Explained]) -> bool:
    """Whether all that is meant is in memory and callable; who lost to a twin that is among them does not count."""
    found = list(found)
    served = {(each.dataset, each.key) for each in found if each.callable and each.key}
    return bool(found) and all(each.callable or (each.dataset, each.key) in served for each in found)


# --- Consul ----------------------------------------------------------------------------------------------------------


def ask_consul(consul: Consul, settings: Settings, who: Meant | None) -> FromConsul:
    """All instances of the services that sets ask for; where `who` is none of them, those of others."""
    found = FromConsul()
    asked: set[tuple[str, str, str]] = set()
    for ask in (ask for dataset in settings.enabled for ask in asks_of(dataset)):
        for kind, place in (("service", ask.service), ("kv", ask.kv)):
            if place and (kind, place, ask.dc) not in asked:
                asked.add((kind, place, ask.dc))
                _look(consul, found, kind, place, ask.dc)
    if who is not None and not found.trouble and not any(_is_meant(who, each) for each in found.instances):
        _look_elsewhere(consul, found, who, {place for kind, place, _ in asked if kind == "service"})
    return found


def _look(consul: Consul, found: FromConsul, kind: str, place: str, dc: str) -> None:
    source = consul_source.Source(kind, place)
    try:
        reply = consul.get(source.path, *source.all, *([("dc", dc)] if dc else []))
        told = reply.json() if reply.code == 200 else []
        if kind == "service":
            found.instances += _instances(told, dc)
        else:
            found.keys |= {(dc, str(path)) for path in told}
        if reply.filtered:
            found.hidden[dc] = hidden_from_us(source.name)
    except ConsulError as error:
        found.trouble[dc] = str(error)


def _look_elsewhere(consul: Consul, found: FromConsul, who: Meant, known: set[str]) -> None:
    """In the agent's own data centre; what cannot be seen there is no reason for anything."""
    try:
        names = sorted(set(consul.get("/v1/catalog/services").json()) - known)
        for name in names[:OTHERS]:
            with contextlib.suppress(ConsulRefused):  # a name that no path can hold
                told = consul.get(consul_source.Source("service", name).path).json()
                found.instances += [each for each in _instances(told, "") if _is_meant(who, each)]
    except (ConsulError, TypeError):
        return


def _instances(entries: Any, dc: str) -> list[Instance]:
    return [_instance(entry, dc) for entry in entries if isinstance(entry, dict)]


def _instance(entry: Mapping[str, Any], dc: str) -> Instance:
    """Of Consul's HTTP API, "List Service Instances for Service"."""
    node, service = entry.get("Node") or {}, entry.get("Service") or {}
    checks = tuple(
        Check(str(c.get("CheckID")), str(c.get("Status")), str(c.get("Output") or ""), str(c.get("Notes") or ""),
              str(c.get("Name") or ""))
        for c in entry.get("Checks") or () if isinstance(c, dict)
    )  # fmt: skip
    return Instance(
        service=str(service.get("Service")), id=str(service.get("ID"))[:LONGEST],
        node=str(node.get("Node"))[:LONGEST], dc=dc,
        address=str(service.get("Address") or node.get("Address") or ""), port=int(service.get("Port") or 0),
        tags=tuple(map(str, service.get("Tags") or ())), checks=checks,
    )  # fmt: skip


def _is_meant(who: Meant, found: Instance) -> bool:
    source = Source(found.service, found.id, found.node)
    return means_source(who, source) or means_place(who, found.address, found.port)


# --- the engine, or its files ----------------------------------------------------------------------------------------


def _ask_engine(settings: Settings, what: str, chosen: list[Instance]) -> tuple[Mapping[str, Any], str]:
    """Its reply, and why it is none of a running engine, or ""."""
    also = [[each.service, each.id, each.node] for each in chosen[:MOST]]
    try:
        request(settings, "diff")  # which has memory read now
        return request(settings, "explain", what=what, also=json.dumps(also)), ""
    except OutOfReach:
        if not settings.releases.is_dir():
            raise
        return _without_engine(settings, what, also), "none is running: what follows is what its files and Kamailio say"


def _without_engine(settings: Settings, what: str, also: list[list[str]]) -> Mapping[str, Any]:
    """What an engine would know that started now; nothing is written."""
    way = settings.kamailio
    client = rpc.connect(way.rpc, way.rpc_reply_dir, way.rpc_password_file, way.rpc_ca_file)
    known = {(service, id, node) for service, id, node in also}
    told: dict[str, list[Any]] = {"datasets": [], "subjects": []}
    for chosen in settings.enabled:
        lane = lanes.lane(settings, chosen, client)
        pipeline = lane.pipeline
        for part, path in lane.staging.items():
            found = read_staging(pipeline.dataset, path)
            if found is not None:
                pipeline.staged(part, *found, time.monotonic())
        try:
            pipeline.state = replace(pipeline.state, memory=lane.work.memory(), read_at=time.monotonic())
        except RpcError as error:
            pipeline.state = replace(pipeline.state, trouble=str(error))
        listed, pairs = gather(lane, meant(what), known, {})
        told["datasets"].append(asdict(listed))
        told["subjects"] += [asdict(subject) for subject in with_live_file(lane, pairs)]
    return told


# --- together --------------------------------------------------------------------------------------------------------


def asks_of(dataset: DatasetSettings) -> tuple[Asks, ...]:
    """The dataset's sets, as `explain` needs them."""
    return tuple(
        Asks(
            service=str(entry["service"]), tag=str(entry["tag"]), kv=str(entry["kv"]), dc=str(entry["datacenter"]),
            policy={"warning": str(entry["warning"]), "critical": str(entry["critical"])},
        )
        for entry in dataset.sets
    )  # fmt: skip


def _unrendered(
    settings: Settings, listed: Mapping[str, Listed], subjects: list[Subject], chosen: list[Instance]
) -> list[Subject]:
    """Who is in Consul and in no list: told for each dataset that asks for the service, else for the first one."""
    told = {(each.dataset, each.service, each.id, each.node) for each in subjects}
    names = [name for name in listed if name in settings.datasets]
    found = []
    for each in chosen:
        asking = [n for n in names if any(ask.service == each.service for ask in asks_of(settings.dataset(n)))]
        for name in asking or names[:1]:
            if (name, each.service, each.id, each.node) not in told:
                who = Subject(dataset=name, service=each.service, id=each.id, node=each.node, dc=each.dc, live=False)
                found.append(who)
    return found


def _facts(dataset: DatasetSettings, listed: Listed, subject: Subject, found: FromConsul, trouble: str) -> Facts:
    who = (subject.service, subject.id, subject.node)
    instance = next((each for each in found.instances if (each.service, each.id, each.node) == who), None)
    path = subject.id.removeprefix("kv:")
    in_kv = any(path == key for _, key in found.keys)
    unseen = found.hidden.get(subject.dc, "") if not in_kv else ""
    return Facts(
        listed=listed,
        subject=subject,
        asks=asks_of(dataset),
        instance=instance,
        consul=(found.trouble.get(subject.dc) or unseen) if instance is None else "",
        in_kv=in_kv,
        engine=trouble,
    )
