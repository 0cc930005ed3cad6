"""What the release machine is told (events: facts) and what it asks for (actions: imperatives)."""

from dataclasses import dataclass
from enum import Enum

from consul_kam.core.compare import Difference
from consul_kam.core.records import Host, Key, Memory, Release


class Phase(Enum):
    """Where a dataset is."""

    IDLE = "IDLE"
    READING = "READING"
    WRITING = "WRITING"
    APPLYING = "APPLYING"
    WAITING = "WAITING"
    PUBLISHING = "PUBLISHING"
    DEGRADED = "DEGRADED"


class Verdict(Enum):
    """What became of a release, as journal and status say it. REJECTED comes from the parser, HELD from the guards."""

    PUBLISHED = "PUBLISHED"
    HELD = "HELD"
    REJECTED = "REJECTED"
    BLOCKED = "BLOCKED"
    BUSY = "BUSY"
    DEGRADED = "DEGRADED"
    SUPERSEDED = "SUPERSEDED"
    DRIFT = "DRIFT"
    OBSERVED = "OBSERVED"


# --- events: facts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """What shall be in memory from now on (staged, a hold expired, names resolved, approved, pinned, resumed)."""

    release: Release


@dataclass(frozen=True, slots=True)
class Tick:
    """Time to verify."""


@dataclass(frozen=True, slots=True)
class KamailioDown:
    """Nobody answers at the RPC address; `reason`: the client's words, or ""."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class KamailioUp:
    """Kamailio answers, perhaps a new one: whatever memory held before may be gone."""


@dataclass(frozen=True, slots=True)
class WindowOpen:
    """The gap is over, or Kamailio's window should be."""

    op: int


@dataclass(frozen=True, slots=True)
class Retry:
    """The wait after a failure is over."""

    op: int


@dataclass(frozen=True, slots=True)
class Read:
    """Memory as read back. `file_right`: the live file holds the canonical form of the published release."""

    op: int
    memory: Memory
    file_right: bool = True


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """Malformed, or over a limit of the transport: reading again at once would not help."""

    op: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """No connection, or no answer in time to a read."""

    op: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Wrote:
    """The live file holds the target, states riding in it.

    `slow_names`: how many of its host names get no quick answer, so that a ping walk over them may take long.
    """

    op: int
    slow_names: int = 0


@dataclass(frozen=True, slots=True)
class WriteFailed:
    """Disk full, read-only, no permission."""

    op: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Hosts of the target that cannot be loaded now: a load would drop their records, so nothing was written."""

    op: int
    hosts: tuple[Host, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """Kamailio said "Ok", which proves nothing.

    `put_back`: states that others had changed since memory was read, and that the reload had overwritten.
    `not_put_back`: why some of these could not be put back, or could not be looked for; "" where all went well.
    `by_key`: it was a change key by key, no reload.
    """

    op: int
    put_back: tuple[tuple[Key, str], ...] = ()
    not_put_back: str = ""
    by_key: bool = False


@dataclass(frozen=True, slots=True)
class Faulted:
    """Kamailio answered the reload with a fault other than "too soon", or not in time."""

    op: int
    reason: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Kamailio refused: too soon. `until`: when the window should be open (seconds, same clock as now)."""

    op: int
    until: float


@dataclass(frozen=True, slots=True)
class Published:
    """The canonical file and the last known good are on disk."""

    op: int


@dataclass(frozen=True, slots=True)
class PublishFailed:
    """Memory is right, the disk is not."""

    op: int
    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """An operator's pause or observe mode: read and report, write nothing. `on=False` ends it."""

    on: bool


# --- actions: imperatives --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DoRead:
    op: int


@dataclass(frozen=True, slots=True)
class DoWrite:
    """Write the live file of `release`: states of `memory` ride, except the disabled ones of `enable`.

    `ours`: what the next engine has to know as disabled by us, should this one die now. Includes `enable`.
    """

    op: int
    release: Release
    memory: Memory
    enable: frozenset[Key]
    ours: frozenset[Key]


@dataclass(frozen=True, slots=True)
class DoApply:
    op: int


@dataclass(frozen=True, slots=True)
class DoPublish:
    op: int
    release: Release
    ours: frozenset[Key]


@dataclass(frozen=True, slots=True)
class Arm:
    """Send WindowOpen(op) or Retry(op) at the time `at`; replaces an earlier one."""

    event: WindowOpen | Retry
    at: float


@dataclass(frozen=True, slots=True)
class Report:
    """For journal, status, alert and whoever waits for a verdict."""

    verdict: Verdict
    release: Release | None
    reason: str = ""
    difference: Difference | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Kamailio will not load these: plan anew without them and say so with Wanted."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Unresolve:
    """These hosts cannot be loaded: plan anew, the guards of names decide."""

    hosts: tuple[Host, ...]


Event = (
    Wanted | Tick | KamailioDown | KamailioUp | WindowOpen | Retry | Read | ReadFailed | Unreachable | Wrote
    | WriteFailed | Unresolved | Applied | Faulted | Busy | Published | PublishFailed | Halt
)  # fmt: skip
Action = DoRead | DoWrite | DoApply | DoPublish | Arm | Report | Refuse | Unresolve
