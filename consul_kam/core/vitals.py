"""What a node shows of itself at one moment: made on the decision thread, immutable, read by any thread.

Times of day are seconds since 1970, durations seconds, sizes bytes. `core/metrics.py` says what becomes of it.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Spread:
    """How values are spread: a histogram. `counts`: values in each bucket, by `bounds`; the last is above them all."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float = 0.0

    @classmethod
    def over(cls, bounds: Sequence[float]) -> "Spread":
        """An empty one. `bounds` rise."""
        return cls(tuple(bounds), (0,) * (len(bounds) + 1))

    def with_value(self, value: float) -> "Spread":
        """One value more; it belongs to the first bound that it is not above."""
        place = bisect_left(self.bounds, value)
        counts = tuple(count + (index == place) for index, count in enumerate(self.counts))
        return Spread(self.bounds, counts, self.total + value)


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted of one dataset since the engine started."""

    verdicts: Mapping[str, int] = field(default_factory=dict)
    busy: int = 0
    """Reloads that Kamailio refused as too soon."""
    stages: Mapping[str, Spread] = field(default_factory=dict)
    """Seconds that the stages of published changes took."""
    published_at: float | None = None


@dataclass(frozen=True, slots=True)
class ListVitals:
    """One dataset."""

    name: str
    phase: str
    records: int = 0
    """What memory shall hold."""
    in_memory: int | None = None
    """None: not known, as where Kamailio is away."""
    equal: bool | None = None
    """Whether memory is what it shall be; None: not known."""
    read_at: float | None = None
    """When memory was read."""
    held: int = 0
    dropped: int = 0
    refused: int = 0
    draining: int = 0
    blocked: int = 0
    waiting: int = 0
    """Records that wait for another list."""
    paused: bool = False
    pinned: bool = False
    observed: bool = False
    staged: Mapping[str, tuple[float, bool]] = field(default_factory=dict)
    """Data centre ("": the agent's own) -> when its staging file was taken in, and whether it could be used."""
    tally: Tally = Tally()


@dataclass(frozen=True, slots=True)
class ProcessVitals:
    """One program."""

    name: str
    up: bool
    restarts: int = 0
    rss: float | None = None
    cpu: float | None = None
    """Seconds of processor time since it started."""


@dataclass(frozen=True, slots=True)
class ProbeVitals:
    """One probe. `healthy` None: not known yet."""

    name: str
    healthy: bool | None
    took: float | None = None
    since: float | None = None
    facts: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Registered:
    """What Consul knows of the node."""

    registered: bool
    trouble: bool


@dataclass(frozen=True, slots=True)
class DrainVitals:
    """How far the node's leaving is; `phase`: of core/drain.py, NONE where nobody asked for it."""

    phase: str
    calls: int | None = None
    """Those that are not over; None: nobody counts them, or not rightly."""


@dataclass(frozen=True, slots=True)
class CertificateVitals:
    """One certificate in use. `left`: seconds until its end, None: none is in use; `trouble`: its files do not fit."""

    name: str
    left: float | None
    trouble: bool


@dataclass(frozen=True, slots=True)
class SecretVitals:
    """One secret from Vault. `expires_in`: seconds, negative once it is over; None: it does not end, or is none."""

    name: str
    usable: bool
    expires_in: float | None = None
    renewals: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class VaultVitals:
    """What Vault gives the node."""

    reachable: bool
    logged_in: bool
    secrets: tuple[SecretVitals, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentVitals:
    """`waiting`: variables that wait for a restart of Kamailio; None: nobody knows. `within`: seconds in which that has
    to be; None: nothing presses.
    """

    waiting: int | None
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Vitals:
    """The node."""

    version: str
    python: str
    node: str
    role: str
    started: float
    alive: bool
    reasons: Mapping[str, str]
    """Why it is not ready, by what holds it back; none: it is ready."""
    kamailio: bool | None
    """Whether its RPC answers; None: not known yet."""
    lists: tuple[ListVitals, ...] = ()
    processes: tuple[ProcessVitals, ...] = ()
    probes: tuple[ProbeVitals, ...] = ()
    registration: Registered | None = None
    drain: DrainVitals | None = None
    """None: without a role it has no calls of its own."""
    certificates: tuple[CertificateVitals, ...] = ()
    vault: VaultVitals | None = None
    """None: there is no [vault]."""
    environment: EnvironmentVitals | None = None
    """None: there is no [env]."""
    lag: Spread = Spread((), (0,))
    """Seconds that the decision thread was late."""
    unwritten: int = 0
    """Reports that were dropped because journal or log could not keep up."""

    @property
    def ready(self) -> bool:
        return not self.reasons
