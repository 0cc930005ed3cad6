"""What is known of one record, or of one source that gave none: the plain facts that `explain` goes by.

The engine tells Listed and Subject, Consul the Instance; all of it passes as JSON. Times are seconds of the wall clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One health check as Consul has it; `notes` holds the reason of a maintenance."""

    id: str
    status: str
    output: str = ""
    notes: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Instance:
    """One service instance as Consul has it."""

    service: str
    id: str
    node: str
    dc: str = ""
    address: str = ""
    port: int = 0
    tags: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def status(self) -> str:
        """As consul-template sees it: the worst one, maintenance before all."""
        if any(is_maintenance(check) for check in self.checks):
            return "maintenance"
        there = {check.status for check in self.checks}
        return next((word for word in ("critical", "warning") if word in there), "passing")


def is_maintenance(check: Check) -> bool:
    """Consul's own names of these checks [structs.go: ServiceMaintPrefix, NodeMaint]."""
    return check.id == "_node_maintenance" or check.id.startswith("_service_maintenance:")


@dataclass(frozen=True, slots=True)
class Staged:
    """One staging file. `state`: as `status` says it; `at`: when it was taken in, wall clock, s."""

    path: str
    state: str
    error: str = ""
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What holds for a whole dataset."""

    name: str
    staging: tuple[Staged, ...] = ()
    phase: str = ""
    verdict: str = ""
    reason: str = ""
    paused: bool = False
    observe: bool = False
    pinned: str = ""
    live: str = ""
    """The live file's path."""
    memory_known: bool = True
    read_at: float | None = None

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> "Listed":
        """From `dataclasses.asdict`, by way of JSON."""
        return cls(**{**told, "staging": tuple(Staged(**each) for each in told["staging"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What the engine knows of one record, or of one source that gave none. Times: wall clock, s.

    `key` is as people write it, "" for a source without a record. `where`: FILE:LINE of its newest entry, "" where
    none is staged. `stands_for`: the other source whose record of the same key is the one in use.
    """

    dataset: str
    key: str = ""
    service: str = ""
    id: str = ""
    node: str = ""
    dc: str = ""
    where: str = ""
    use: str = ""
    status: str = ""
    stands_for: str = ""
    dropped: tuple[str, ...] = ()
    wanted: bool = False
    held_why: str = ""
    held_until: float | None = None
    waits_why: str = ""
    waits_until: float | None = None
    refused_times: int = 0
    refused_retry: float | None = None
    blocked: str = ""
    """Why its host cannot be loaded now."""
    blocked_since: float | None = None
    named: str = ""
    disabled: bool = False
    ours: bool = False
    live: bool | None = None
    """None: the live file cannot be read."""
    in_memory: bool = False
    state: str = ""
    callable: bool = False
    last_word: str = ""
    """What the journal says happened to it last: added, removed, changed."""
    last_at: float | None = None

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> "Subject":
        """As Listed.load."""
        return cls(**{**told, "dropped": tuple(told["dropped"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asks:
    """One set of the dataset: what of Consul it asks for, and its policy."""

    service: str = ""
    tag: str = ""
    kv: str = ""
    dc: str = ""
    policy: Mapping[str, str] = field(default_factory=dict)
    """Status -> in, out or disable; what is not there is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one match.

    `consul`: why Consul could not be asked, or "". `in_kv`: whether the KV path of its source is there. `engine`: why
    the engine could not be asked; then what its files say is shown.
    """

    listed: Listed
    subject: Subject
    asks: tuple[Asks, ...] = ()
    instance: Instance | None = None
    consul: str = ""
    in_kv: bool | None = None
    engine: str = ""
