"""Is this node well? Probes look, here it is counted; pure: time is an argument.

A probe turns healthy after `rise` good looks in a row, unhealthy after `fall` bad ones. Its level says what it counts
for: *alive* (the node does its work at all), *ready* (it may get calls), or nothing but a word.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from consul_kam.core.ports import Value
from consul_kam.core.world import NodeFacts, World
from consul_kam.errors import ConsulKamError, RpcFault

ALIVE, READY = "alive", "ready"
NONE, NOT_READY, RESTART = "none", "not-ready", "restart"
"""Actions; NONE is a level too: what has it is only told."""
LEVELS, ACTIONS = (ALIVE, READY, NONE), (NONE, NOT_READY, RESTART)
GRACE = 0.5
"""Seconds beyond its timeout that a look may take to find out what it was that did not answer."""


@dataclass(frozen=True)
class Outcome:
    """What one look found.

    `ok` None: nobody can say now, so that it counts neither way. `reason`: what is wrong, in one line; of a good look,
    a remark. `facts`: figures for the metrics. `about`: what a bad look is about; bad looks are a row only where they
    have that in common.
    """

    ok: bool | None
    reason: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)
    about: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Probe:
    """One thing to look at; a file in `consul_kam.probes` holds one.

    `run` gets the seconds that it may take; it neither counts nor sleeps nor acts. A ConsulKamError is a bad look, and
    so is an answer that it stumbles over (ArithmeticError, LookupError, TypeError, ValueError). `target`: the program
    that a restart is of, "" where there is none.
    """

    name: str
    doc: str
    """What it asks, for docs/health.md."""
    run: Callable[[World, float], Outcome]
    applies: Callable[[NodeFacts], bool]
    period: float | Callable[[NodeFacts], float]
    timeout: float
    rise: int = 1
    fall: int = 3
    level: str = NONE
    action: str = NONE
    target: str = ""
    period_doc: str = ""
    """Where `period` is worked out: how."""
    applies_doc: str = ""
    """Where it runs unless `enabled` says otherwise."""


class Override(Protocol):
    """What the configuration says of a probe; None: the probe's own."""

    @property
    def enabled(self) -> bool | None: ...
    @property
    def period(self) -> float | None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def rise(self) -> int | None: ...
    @property
    def fall(self) -> int | None: ...
    @property
    def action(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ProbeState:
    """What is known of one probe. `since` and `now` of `step` are one clock's seconds."""

    name: str
    level: str
    action: str
    target: str
    rise: int
    fall: int
    since: float
    """When it came to be healthy, unhealthy or unknown."""
    healthy: bool | None = None
    """None: not known yet."""
    reason: str = ""
    """Why it is unhealthy, or what the last look said."""
    facts: Mapping[str, float] = field(default_factory=dict)
    took_ms: float = 0.0
    good: int = 0
    bad: int = 0
    """Looks in a row."""
    about: frozenset[str] = frozenset()
    """What the bad looks of this row have in common."""
    advice: str = ""
    """Who must act where we may not."""

    @property
    def told(self) -> str:
        """Why it holds the node back."""
        if self.healthy is None:
            return f"not seen healthy yet: {self.reason}" if self.reason else "not looked at yet"
        return f"{self.advice}: {self.reason}" if self.advice else self.reason


@dataclass(frozen=True)
class Plan:
    """One probe as it runs here. Seconds."""

    probe: Probe
    period: float
    timeout: float
    state: ProbeState


def runs(probe: Probe, node: NodeFacts, given: Override | None) -> bool:
    """Whether it runs on this node."""
    return probe.applies(node) if given is None or given.enabled is None else given.enabled


def plan(probe: Probe, node: NodeFacts, given: Override | None, now: float) -> Plan:
    """A probe's own figures, and what the configuration says instead.

    `action` NONE makes it a mere word, NOT_READY gives it the level READY. A restart of what is not ours to restart
    becomes NOT_READY, and says who must do it; a probe that is a mere word stays one.
    """
    period = probe.period(node) if callable(probe.period) else probe.period
    action, level, advice = (given.action if given else None) or probe.action, probe.level, ""
    if action == RESTART and not node.keeps(probe.target):
        action, advice = NONE if level == NONE else NOT_READY, f"restart {probe.target}.service"
    if action != RESTART:
        level = READY if action == NOT_READY else NONE
    state = ProbeState(
        name=probe.name,
        level=level,
        action=action,
        target=probe.target,
        rise=(given.rise if given else None) or probe.rise,
        fall=(given.fall if given else None) or probe.fall,
        since=now,
        advice=advice,
    )
    return Plan(
        probe, (given.period if given else None) or period, (given.timeout if given else None) or probe.timeout, state
    )


def look(probe: Probe, world: World, timeout: float) -> Outcome:
    """One look; an answer that says no, that nobody gives or that cannot be read is a bad one."""
    try:
        return probe.run(world, timeout)
    except ConsulKamError as error:
        return Outcome(False, str(error))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return Outcome(False, f"cannot read the answer: {type(error).__name__}: {error}")


def rpc_answers(world: World, deadline: float) -> bool:
    """Whether Kamailio's RPC answers at all."""
    try:
        world.rpc("core.uptime", deadline=deadline)
    except ConsulKamError:
        return False
    return True


def asked(world: World, method: str, deadline: float) -> tuple[Value, ...] | None:
    """What Kamailio says to a method that needs a module; None where it says no. Raises any other RpcError."""
    try:
        return world.rpc(method, deadline=deadline)
    except RpcFault:
        return None


def timed(outcome: Outcome, took: float, timeout: float) -> Outcome:
    """What came too late is a bad look, whatever it says."""
    return outcome if took <= timeout or outcome.ok is False else late(timeout)


def late(timeout: float) -> Outcome:
    """A look that takes longer than it may."""
    return Outcome(False, f"no answer within {timeout:g} s")


def step(state: ProbeState, outcome: Outcome, now: float, took_ms: float = 0.0) -> ProbeState:
    """Count one look."""
    seen = replace(state, facts=outcome.facts, took_ms=took_ms)
    if outcome.ok is None:
        return seen if state.healthy is False else replace(seen, reason=outcome.reason)
    if outcome.ok:
        seen = replace(seen, good=state.good + 1, bad=0, about=frozenset())
        if state.healthy is not True and seen.good >= state.rise:
            return replace(seen, healthy=True, since=now, reason=outcome.reason)
        return seen if state.healthy is False else replace(seen, reason=outcome.reason)
    both = state.about & outcome.about
    row = state.bad > 0 and (bool(both) or not (state.about or outcome.about))
    seen = replace(seen, good=0, bad=state.bad + 1 if row else 1, about=both if row else outcome.about)
    seen = replace(seen, reason=outcome.reason)
    if state.healthy is not False and seen.bad >= state.fall:
        return replace(seen, healthy=False, since=now)
    return seen


def unknown(state: ProbeState, now: float) -> ProbeState:
    """As before the first look: what it looks at is another one now."""
    return replace(state, healthy=None, since=now, reason="", good=0, bad=0, about=frozenset())


def reasons(states: Iterable[ProbeState]) -> dict[str, str]:
    """Probe -> why it holds the node back; empty where all that count have been seen healthy, and are."""
    return {state.name: state.told for state in states if state.level != NONE and state.healthy is not True}


def ready(states: Iterable[ProbeState]) -> bool:
    """Whether the node may get calls."""
    return not reasons(states)


def undecided(states: Iterable[ProbeState]) -> bool:
    """Whether of those that count some have not looked yet, and the others found nothing."""
    counted = [state.healthy for state in states if state.level != NONE]
    return None in counted and False not in counted


def alive(states: Iterable[ProbeState]) -> bool:
    """Whether it does its work at all; what nobody looked at yet is thought to."""
    return not any(state.level == ALIVE and state.healthy is False for state in states)
