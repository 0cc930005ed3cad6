"""What supervision is about: a program that is to run, what happens to it (events: facts), what to do (actions).

supervise.py says what follows what. Times are seconds on one clock that never goes back.
"""

from dataclasses import dataclass
from enum import Enum


class Stage(Enum):
    """Where a program is."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    KILLING = "KILLING"
    BACKOFF = "BACKOFF"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Policy:
    """How one program is kept running. Seconds."""

    start_timeout: float = 60.0
    """From the spawn until it is ready; over that it is killed and counts as a crash."""
    stop_timeout: float = 10.0
    """From being asked to end until it is killed."""
    first: float = 0.5
    """Wait before the second restart in a row; it doubles. The first is immediate."""
    longest: float = 30.0
    quiet: float = 10.0
    """Who was ready for so long starts with a clean sheet."""
    crash_limit: int = 5
    """More crashes than this within `crash_window` are a crash loop; 0: there is none."""
    crash_window: float = 60.0
    give_up: bool = False
    """In a crash loop: FAILED, rather than trying on."""


@dataclass(frozen=True, slots=True)
class Service:
    """All that is known of one program."""

    stage: Stage = Stage.STOPPED
    op: int = 0
    """Number of the spawn or timer under way; others are late."""
    pid: int = 0
    """Of the process that is there, or 0."""
    wanted: bool = False
    """Whether it shall run once it has ended."""
    blamed: bool = False
    """It was told to end for a fault of its own, so that its end is a crash."""
    why: str = ""
    """What happened last, in words."""
    since: float = 0.0
    """When it came to this stage."""
    failures: int = 0
    """Crashes in a row."""
    crashes: tuple[float, ...] = ()
    """When it crashed, within `crash_window`."""
    restarts: int = 0
    """Starts after the first."""


# --- events: facts -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartRequested:
    """It shall run."""


@dataclass(frozen=True, slots=True)
class StopRequested:
    """It shall not run any more."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class RestartRequested:
    """An operator's word (`blame` False), or a probe's (True: counts as a crash)."""

    why: str
    blame: bool = False


@dataclass(frozen=True, slots=True)
class Spawned:
    op: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """`spread`: 0 to 1, drawn by the shell, so that a fleet does not start in step."""

    op: int
    why: str
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Adopted:
    """It runs already, from a supervisor before us."""

    pid: int


@dataclass(frozen=True, slots=True)
class Ready:
    """It does its work."""

    pid: int


@dataclass(frozen=True, slots=True)
class Exited:
    """`how`: "exit code 1", "signal 9", ... `spread` as in SpawnFailed."""

    pid: int
    how: str
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Due:
    """The time that was armed has come."""

    op: int


Event = StartRequested | StopRequested | RestartRequested | Spawned | SpawnFailed | Adopted | Ready | Exited | Due

# --- actions: imperatives --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spawn:
    """Make sure that nothing of the last one is left, then start it; answer Spawned or SpawnFailed with `op`."""

    op: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Ask this process to end."""

    pid: int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL to the whole group of this process."""

    pid: int


@dataclass(frozen=True, slots=True)
class Arm:
    """Send Due(op) at the time `at`."""

    op: int
    at: float


@dataclass(frozen=True, slots=True)
class Announce:
    """For journal, log and status."""

    word: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It is of no use to go on; whoever started us has to start anew."""

    why: str


Action = Spawn | Stop | Kill | Arm | Announce | GiveUp
