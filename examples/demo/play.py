"""Plays the acts and keeps what came of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from examples.demo.acts import ACTS, Act
from examples.demo.evidence import Check
from examples.demo.now import Now
from examples.demo.secure import Rotations
from examples.demo.stage import Stage
from tests.lab import Calls


@dataclass
class Outcome:
    """What came of one act. `calls`, `failed`: those that sipp ended meanwhile; `stages`: ms, from the journal."""

    act: Act
    number: int
    checks: list[Check] = field(default_factory=list)
    calls: int = 0
    failed: int = 0
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return bool(self.checks) and all(check.ok for check in self.checks) and self.calls > 0 and not self.failed

    def told(self) -> dict[str, Any]:
        return {
            "title": self.act.title,
            "plain_pipeline": self.act.plain,
            "ok": self.ok,
            "calls": self.calls,
            "failed_calls": self.failed,
            "checks": [asdict(check) for check in self.checks],
            "engine_ms": dict(self.stages),
        }


@dataclass
class Result:
    """Of the whole play. `calls`: sipp's last word; `now`: the end; `error`: why it could not be played through;
    `rotations`: with `--secure`."""

    plain: bool
    outcomes: list[Outcome] = field(default_factory=list)
    calls: Calls = Calls(0, 0, 0, 0)  # noqa: RUF009 - a NamedTuple
    now: Now | None = None
    seconds: float = 0.0
    error: str = ""
    rotations: Rotations | None = None

    @property
    def ok(self) -> bool:
        """Each act ended as promised, and not one call failed."""
        played = len(self.outcomes) == len(ACTS) and all(outcome.ok for outcome in self.outcomes)
        rotated = self.rotations is None or self.rotations.ok
        return played and rotated and not self.error and self.calls.successful > 0 and not self.calls.failed

    def told(self) -> dict[str, Any]:
        return {
            "pipeline": "plain" if self.plain else "consul_kam",
            "ok": self.ok,
            "error": self.error,
            "seconds": round(self.seconds, 1),
            "calls": self.calls._asdict(),
            "rotations": None if self.rotations is None else self.rotations._asdict(),
            "acts": [outcome.told() for outcome in self.outcomes],
        }


class Audience(Protocol):
    """Who watches: view.py."""

    def begins(self, number: int, act: Act) -> None: ...

    def ended(self, outcome: Outcome) -> None: ...


def play(stage: Stage, result: Result, audience: Audience) -> None:
    """All acts, one after the other, each once Kamailio's window is open. Raises LabError."""
    stage.quiet()
    for number, act in enumerate(ACTS, 1):
        entries, before = len(stage.journal() or ()), stage.calls()
        audience.begins(number, act)
        act.do(stage)
        # the evidence is complete by then: sipp writes its counts once a second, the engine publishes after memory
        stage.quiet()
        seen = stage.evidence(entries)
        act.expect(stage, seen)
        stage.heal()
        after = stage.calls()
        failed = after.failed - before.failed
        ended = after.successful - before.successful + failed
        outcome = Outcome(act, number, seen.checks, ended, failed, seen.stages())
        result.outcomes.append(outcome)
        audience.ended(outcome)
