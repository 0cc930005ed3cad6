"""Fakes that ship: a Kamailio in memory behind the Rpc port, for tests of your own templates, datasets and policies.

What it says is what a real Kamailio said: replies, faults and their shapes are recorded from each supported version
(tools/record_replies.py) and lie beside this file in recordings/VERSION/DATASET/NAME.json.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from consul_kam.core.attrs import read_attrs
from consul_kam.core.fresh import Fresh
from consul_kam.core.ports import Call, Reply, Struct, Value, one_after_the_other
from consul_kam.core.world import ListFacts, NodeFacts, ProcessFacts, SipReply
from consul_kam.errors import ConsulKamError, RpcError, RpcFault, Unanswered

Handler = Callable[..., "tuple[Value, ...]"]
"""Takes the call's parameters, returns its values (the shapes of `core.ports.Value`) or raises RpcError."""

_HERE = Path(__file__).parent / "recordings"
VERSIONS = tuple(sorted(path.name for path in _HERE.iterdir()))
"""The versions of Kamailio that are recorded."""
OLDEST = VERSIONS[0]


@dataclass(frozen=True)
class Recording:
    """One reply of a real Kamailio. It is a Handler: called, it returns `values` or raises `fault`.

    `body`: the reply as it came over binrpc, without its header. `json`: what jsonrpcs says to the same; b"" for a call
    that changes something.
    """

    method: str
    params: tuple[str | int, ...]
    values: tuple[Value, ...]
    fault: tuple[int, str] | None
    body: bytes
    json: bytes

    def __call__(self, *params: str | int) -> tuple[Value, ...]:
        if self.fault is not None:
            raise RpcFault(self.method, *self.fault)
        return self.values


@cache
def recording(dataset: str, name: str, version: str = OLDEST) -> Recording:
    """`recording("rtpengine", "reload_too_soon", "6.0.1")`. Raises FileNotFoundError for what is not recorded."""
    found = json.loads((_HERE / version / dataset / f"{name}.json").read_text(encoding="ascii"))
    fault = (found["fault"]["code"], found["fault"]["reason"]) if "fault" in found else None
    values = tuple(_value(value) for value in found.get("values", ()))
    raw = bytes.fromhex(found["body"]), found.get("json", "").encode("utf-8", "surrogateescape")
    return Recording(found["method"], tuple(found["params"]), values, fault, *raw)


def recorded(version: str = OLDEST) -> dict[str, Recording]:
    """Everything that is recorded of a version, as DATASET/NAME."""
    places = sorted((path.parent.name, path.stem) for path in (_HERE / version).glob("*/*.json"))
    return {f"{dataset}/{name}": recording(dataset, name, version) for dataset, name in places}


class FakeKamailio:
    """Implements Rpc: each method is answered by its handler, or fails as scripted.

    `handlers`: method -> handler (a Recording is one); an absent one is the fault that Kamailio gives for it.
    `calls`: how often each method was called, failures included. `log`: every call, in order.
    """

    def __init__(self, handlers: Mapping[str, Handler] | None = None, version: str = OLDEST) -> None:
        self.handlers: dict[str, Handler] = {"core.uptime": self._core_uptime, **(handlers or {})}
        self.version = version
        self.calls: Counter[str] = Counter()
        self.log: list[tuple[str | int, ...]] = []
        self.uptime = 0
        self._generation = 1
        self._failures: dict[str, list[tuple[RpcError, bool]]] = {}

    @property
    def generation(self) -> int:
        return self._generation

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        """As `Rpc.call`; `deadline` is not waited for: script an RpcTimeout instead."""
        self.calls[method] += 1
        self.log.append((method, *params))
        scripted = self._failures.get(method)
        error, carried_out = scripted.pop(0) if scripted else (None, True)
        handler = self.handlers.get(method)
        if handler is None and error is None:
            raise self._no_such(method)
        reply = handler(*params) if handler is not None and carried_out else ()
        if error is not None:
            raise error
        return reply

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        """As `Rpc.call_in_order`; what is scripted for one of the methods happens at its turn."""
        return one_after_the_other(self, calls, deadline)

    def close(self) -> None:
        """Nothing is open."""

    def fail_next(self, method: str, error: RpcError | Recording, carried_out: bool = False) -> None:
        """Let the next call of `method` raise `error` (or a recorded fault); several queue up.

        `carried_out`: the handler runs all the same, as when only the reply was lost.
        """
        if isinstance(error, Recording):
            assert error.fault is not None, f"{error.method} was recorded as it succeeded"
            error = RpcFault(method, *error.fault)
        self._failures.setdefault(method, []).append((error, carried_out))

    def restart(self) -> None:
        """A new connection from here on, uptime 0. What the handlers hold in memory is theirs to forget."""
        self._generation += 1
        self.uptime = 0

    def _no_such(self, method: str) -> RpcFault:
        found = recording("core", "no_such", self.version)
        assert found.fault is not None
        return RpcFault(method, found.fault[0], found.fault[1].replace(found.method, method))

    def _core_uptime(self) -> tuple[Value, ...]:
        (shown,) = recording("core", "uptime", self.version).values
        return (_with(shown, uptime=str(self.uptime)),)


def dispatcher(
    sets: Mapping[int, list[tuple[str, str, int, str]]], version: str = OLDEST, short: bool = False
) -> tuple[Value, ...]:
    """The reply of `dispatcher.list` for setid -> (URI, FLAGS, PRIORITY, attrs) in memory's order.

    `short`: as of `dispatcher.list short`. Raises the fault that stands for "no sets".
    """
    if not sets:
        return recording("dispatcher", "empty", version)()
    (shown,) = recording("dispatcher", "attrs", version).values
    ((_, one),) = _struct(_member(shown, "RECORDS"))
    dests = [dest for _, dest in _struct(_member(one, "TARGETS"))]
    bare = next(dest for dest in dests if "ATTRS" not in dict(_struct(dest)))
    rich = next(dest for dest in dests if "ATTRS" in dict(_struct(dest)) and not _member(dest, "ATTRS", "BODY"))
    records = []
    for setid, destinations in sets.items():
        targets: Struct = tuple(
            ("DEST", _destination(bare if short or not attrs else rich, uri, flags, priority, attrs))
            for uri, flags, priority, attrs in destinations
        )
        records.append(("SET", _with(one, ID=str(setid), TARGETS=targets)))
    return (_with(shown, NRSETS=str(len(sets)), RECORDS=tuple(records)),)


def _destination(like: Value, uri: str, flags: str, priority: int, attrs: str) -> Value:
    dest = _with(like, URI=uri, FLAGS=flags, PRIORITY=str(priority))
    if "ATTRS" not in dict(_struct(dest)):
        return dest
    named = {name.upper(): value for name, value in read_attrs(attrs)}
    return _with(dest, ATTRS=_with(_member(dest, "ATTRS"), **{**named, "BODY": attrs}))


def domain(domains: Iterable[tuple[str, str]], version: str = OLDEST) -> tuple[Value, ...]:
    """The reply of `domain.dump` for (domain, did) pairs in the order given."""
    (shown,) = recording("domain", "one", version).values
    ((name, like),) = _struct(_member(shown, "domains"))
    return (_with(shown, domains=tuple((name, _with(like, domain=each, did=did)) for each, did in domains)),)


def rtpengine(nodes: Iterable[tuple[int, str, int, str]], version: str = OLDEST) -> tuple[Value, ...]:
    """The reply of `rtpengine.show all` for (set, URL, weight, state): state "answers", "silent" or "disabled"."""
    known = dict(zip(("answers", "silent", "disabled"), recording("rtpengine", "states", version).values, strict=False))
    return tuple(
        _with(known[state], set=str(setid), url=url, index=str(at), weight=str(weight))
        for at, (setid, url, weight, state) in enumerate(nodes)
    )


class HTable:
    """One hash table of Kamailio's htable module: `handlers` for FakeKamailio, `held` its keys and values."""

    def __init__(self, name: str, held: Mapping[str, str | int] | None = None, version: str = OLDEST) -> None:
        self.name, self.held, self._version = name, dict(held or {}), version
        self.stored: dict[str, str | int] = {}
        """What a reload takes: the table in the file."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        return {
            "htable.dump": self._dump,
            "htable.sets": self._set,
            "htable.seti": self._set,
            "htable.delete": self._delete,
            "htable.reload": self._reload,
        }

    def _dump(self, table: str) -> tuple[Value, ...]:
        if table != self.name or not self.held:
            return self._said("unknown" if table != self.name else "empty")
        slot, *_ = recording("htable", "mixed", self._version).values
        (name, item), *_ = _struct(_member(slot, "slot"))
        kinds = {key: "int" if isinstance(value, int) else "str" for key, value in self.held.items()}
        items = [(name, _with(item, name=key, value=str(self.held[key]), type=kind)) for key, kind in kinds.items()]
        return (_with(slot, size=str(len(items)), slot=tuple(items)),)

    def _set(self, table: str, key: str, value: str | int) -> tuple[Value, ...]:
        if table != self.name:
            return self._said("sets_unknown")
        self.held[key] = value
        return self._said("sets_ok")

    def _delete(self, table: str, key: str) -> tuple[Value, ...]:
        if table != self.name:
            return self._said("sets_unknown")
        return self._said("delete_again" if self.held.pop(key, None) is None else "delete_ok")

    def _reload(self, table: str) -> tuple[Value, ...]:
        if table != self.name:
            return self._said("sets_unknown")
        self.held = dict(self.stored)
        return self._said("reload_ok")

    def _said(self, name: str) -> tuple[Value, ...]:
        return recording("htable", name, self._version)()


@dataclass
class FakeWorld:
    """Implements core.world.World for tests of probes: what is not said here, nobody answers."""

    node: NodeFacts = field(default_factory=NodeFacts)
    kamailio: FakeKamailio = field(default_factory=FakeKamailio)
    sip: dict[str, SipReply] = field(default_factory=dict)
    """Endpoint -> reply."""
    said: dict[str, object] = field(default_factory=dict)
    """URL -> status code; NG endpoint -> word; "consul" -> leader; an error is raised."""
    programs: dict[str, ProcessFacts] = field(default_factory=dict)
    memory: list[ListFacts] = field(default_factory=list)
    staging: dict[str, Fresh] = field(default_factory=dict)

    def rpc(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        return self.kamailio.call(method, *params, deadline=deadline)

    def options(self, endpoints: Sequence[str], timeout: float) -> Mapping[str, SipReply]:
        silence = SipReply(0, f"no final response within {timeout:g} s")
        return {endpoint: self.sip.get(endpoint, silence) for endpoint in endpoints}

    def http_get(self, url: str, timeout: float) -> int:
        return int(str(self._said(url)))

    def ng_ping(self, endpoint: str, timeout: float) -> str:
        return str(self._said(endpoint))

    def process(self, name: str) -> ProcessFacts | None:
        return self.programs.get(name)

    def lists(self) -> Sequence[ListFacts]:
        return self.memory

    def rendered(self, timeout: float) -> Mapping[str, Fresh]:
        return self.staging

    def consul_leader(self, timeout: float) -> str:
        return str(self._said("consul"))

    def _said(self, key: str) -> object:
        found = self.said.get(key, Unanswered(f"cannot ask {key}: no answer"))
        if isinstance(found, ConsulKamError):
            raise found
        return found


def _value(value: object) -> Value:
    """As the transports give it: each scalar as text, a number without decimals that are none."""
    if isinstance(value, dict):
        return tuple((name, _value(member)) for name, member in value["struct"])
    return (
        f"{value:f}"
        if isinstance(value, float) and value % 1
        else str(int(value) if isinstance(value, float) else value)
    )


def _struct(value: Value) -> Struct:
    assert isinstance(value, tuple)
    return value


def _member(value: Value, *names: str) -> Value:
    for name in names:
        value = dict(_struct(value))[name]
    return value


def _with(value: Value, /, **members: Value) -> Value:
    """The same struct with other values for some of its members; those that it does not have are left out."""
    return tuple((name, members.get(name, member)) for name, member in _struct(value))
