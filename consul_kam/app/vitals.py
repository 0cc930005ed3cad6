"""From the running engine to what it shows of itself; on the decision thread."""

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from consul_kam import __version__
from consul_kam.adapters import usage
from consul_kam.app.engine import Engine, Lane
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.ordering import Ordering
from consul_kam.config import Settings
from consul_kam.core.compare import difference
from consul_kam.core.records import Release, Use
from consul_kam.core.state import State, enable
from consul_kam.core.vitals import (
    CertificateVitals,
    DrainVitals,
    EnvironmentVitals,
    ListVitals,
    ProbeVitals,
    ProcessVitals,
    Registered,
    Spread,
    VaultVitals,
    Vitals,
)

ENGINE = "consul-kam"
"""The engine's own process, among those that it shows."""
PROCESS = "process"
"""The probe of programs; its facts are NAME_rss_bytes and NAME_cpu_seconds."""
RUNNING, REGISTERED, OFF = "RUNNING", "registered", "off"


class ProbeState(Protocol):
    """One probe, as the health runner keeps it; `since`: seconds since 1970."""

    @property
    def healthy(self) -> bool | None: ...
    @property
    def since(self) -> float: ...
    @property
    def reason(self) -> str: ...
    @property
    def took_ms(self) -> float: ...
    @property
    def facts(self) -> Mapping[str, float]: ...


class Health(Protocol):
    """The health runner; each is asked on the decision thread."""

    @property
    def states(self) -> Mapping[str, ProbeState]: ...
    @property
    def ready(self) -> bool: ...
    @property
    def reasons(self) -> Mapping[str, str]: ...
    def alive(self) -> bool: ...


@dataclass(slots=True)
class Parts:
    """What a node has besides its lists; each is asked on the decision thread."""

    health: Health | None = None
    processes: Callable[[], Sequence[Mapping[str, Any]]] = lambda: ()
    """The supervisor's: name, state, restarts."""
    waits_for: Callable[[], str] = lambda: ""
    """What keeps the node from being ready, or ""; a health runner has gates of its own instead."""
    registration: Callable[[], Mapping[str, Any]] | None = None
    """The registrar's: state, trouble."""
    certificates: Callable[[], tuple[CertificateVitals, ...]] = lambda: ()
    drain: Callable[[], Mapping[str, Any]] | None = None
    """As app/drain.py has it: phase; where one is under way calls, blind."""
    vault: Callable[[], VaultVitals | None] = lambda: None
    environment: Callable[[], Mapping[str, Any] | None] = lambda: None
    """As `status` has it: restart, restart_within."""


@dataclass
class Look:
    """Takes one moment. `lag`: how late the decision thread was so far."""

    engine: Engine
    settings: Settings
    heartbeat: Heartbeat
    ordering: Ordering
    parts: Parts = field(default_factory=Parts)
    started: float = field(default_factory=time.time)
    _compared: dict[str, tuple[State, bool | None, bool]] = field(default_factory=dict)

    def take(self, lag: Spread) -> Vitals:
        """All of it, now."""
        health, node = self.parts.health, self.settings.node
        registration = self.parts.registration() if self.parts.registration is not None else None
        return Vitals(
            version=__version__,
            python=platform.python_version(),
            node=node.name,
            role=node.role,
            started=self.started,
            alive=health.alive() if health is not None else True,
            reasons=self.reasons(),
            kamailio=self.heartbeat.up if self._has_kamailio else None,
            lists=tuple(self._list(lane) for lane in self.engine.lanes.values()),
            processes=(_own(), *(_process(told, self._figures()) for told in self.parts.processes())),
            probes=tuple(_probe(name, state) for name, state in health.states.items()) if health is not None else (),
            registration=_registered(registration) if registration is not None else None,
            drain=_drain(self.parts.drain()) if self.parts.drain is not None else None,
            certificates=self.parts.certificates(),
            vault=self.parts.vault(),
            environment=_environment(self.parts.environment()),
            lag=lag,
            unwritten=self.engine.reporter.dropped,
        )

    def reasons(self) -> Mapping[str, str]:
        """Why the node is not ready. Without probes: ready while Kamailio holds the target or what was proven last."""
        health = self.parts.health
        if health is not None:
            reasons = dict(health.reasons)
            return reasons if health.ready else reasons or {"health": "not ready"}
        waits = self.parts.waits_for()
        found = {"node": waits} if waits else {}
        if self._has_kamailio and not self.heartbeat.up:
            found["kamailio"] = self.heartbeat.trouble or "nobody has looked yet"
        for name, lane in self.engine.lanes.items():
            why = self._why_not(lane)
            if why:
                found[name] = why
        return found

    @property
    def _has_kamailio(self) -> bool:
        return self.settings.kamailio.mode != "none"

    def _figures(self) -> Mapping[str, float]:
        """What the probe of programs measured, which is what they use."""
        health = self.parts.health
        state = health.states.get(PROCESS) if health is not None else None
        return state.facts if state is not None else {}

    def _why_not(self, lane: Lane) -> str:
        """A change on its way, or one that failed, leaves what was proven before: that is fine."""
        state = lane.pipeline.state
        if state.target is None:
            return "nothing is staged, and there is no last known good"
        if state.memory is None:
            return "memory was not read yet"
        equal, stands = self._compare(lane)
        if equal or stands:
            return ""
        found = difference(state.target, state.memory, enable(state), state.ordered)
        return f"memory differs: {found}" + (f"; {state.trouble}" if state.trouble else "")

    def _compare(self, lane: Lane) -> tuple[bool | None, bool]:
        """Whether memory is the target, and whether it is the last known good; worked out once for each state."""
        name, state = lane.pipeline.dataset.name, lane.pipeline.state
        known = self._compared.get(name)
        if known is None or not _same(known[0], state):
            equal = _holds(state, state.target)
            known = (state, equal, bool(equal) if state.lkg is state.target else bool(_holds(state, state.lkg)))
            self._compared[name] = known
        return known[1], known[2]

    def _list(self, lane: Lane) -> ListVitals:
        pipeline, state = lane.pipeline, lane.pipeline.state
        last, target = pipeline.last, state.target
        return ListVitals(
            name=pipeline.dataset.name,
            phase=state.phase.value,
            records=len(target.records) if target is not None else 0,
            in_memory=len(state.memory) if state.memory is not None else None,
            equal=self._compare(lane)[0],
            read_at=time.time() - (time.monotonic() - state.read_at) if state.read_at else None,
            held=len(last.held) if last is not None else 0,
            dropped=len(last.dropped) if last is not None else 0,
            refused=len(pipeline.refusals),
            draining=_draining(target),
            blocked=len(pipeline.failing),
            waiting=len(self.ordering.waits(pipeline.dataset.name)),
            paused=pipeline.paused,
            pinned=bool(pipeline.pinned),
            observed=pipeline.observe,
            staged={part: (entry.at, not entry.error) for part, entry in pipeline.staging.items()},
            tally=self.engine.reporter.counters.tally(pipeline.dataset.name),
        )


def _same(one: State, other: State) -> bool:
    """Whether they compare alike; by identity, since there may be 10,000 records."""
    mine, its = (one.target, one.memory, one.lkg), (other.target, other.memory, other.lkg)
    return all(a is b for a, b in zip(mine, its, strict=True)) and one.ours == other.ours


def _holds(state: State, release: Release | None) -> bool | None:
    if release is None or state.memory is None:
        return None
    return not difference(release, state.memory, state.ours - release.disabled, state.ordered)


def _draining(target: Release | None) -> int:
    if target is None:
        return 0
    return len(target.disabled.union(record.key for record in target.records if record.use is Use.KEPT))


def _own() -> ProcessVitals:
    try:
        return ProcessVitals(ENGINE, True, 0, *usage.own())
    except OSError:  # no descriptor is left
        return ProcessVitals(ENGINE, True)


def _process(told: Mapping[str, Any], figures: Mapping[str, float]) -> ProcessVitals:
    name, up = str(told["name"]), told["state"] == RUNNING
    prefix = name.replace("-", "_")
    rss, cpu = figures.get(f"{prefix}_rss_bytes"), figures.get(f"{prefix}_cpu_seconds")
    return ProcessVitals(name, up, int(told["restarts"]), rss, cpu)


def _probe(name: str, state: ProbeState) -> ProbeVitals:
    return ProbeVitals(name, state.healthy, state.took_ms / 1000, state.since, dict(state.facts), state.reason)


def _environment(told: Mapping[str, Any] | None) -> EnvironmentVitals | None:
    if told is None:
        return None
    waits = told["restart"]
    return EnvironmentVitals(None if waits is None else len(waits), told["restart_within"])


def _registered(told: Mapping[str, Any]) -> Registered | None:
    """None: it is not wanted."""
    return Registered(told["state"] == REGISTERED, bool(told["trouble"])) if told["state"] != OFF else None


def _drain(told: Mapping[str, Any]) -> DrainVitals:
    """A count that has forgotten calls is none."""
    return DrainVitals(str(told["phase"]), told.get("calls") if not told.get("blind") else None)
