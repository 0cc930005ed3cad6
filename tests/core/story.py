"""Answers of Consul told to the guards, one after the other."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from consul_kam.core import past as past_json
from consul_kam.core.guards import Decision, Limits, Past, decide
from consul_kam.core.plan import make_release
from consul_kam.core.records import Record, Release, Use


def record(name: str, use: Use = Use.IN) -> Record:
    """ "2/r1" is r1 of set 2, "r1" one of set 1."""
    group, _, last = name.rpartition("/")
    key = (group or "1", last)
    return Record(key, key[0], (), name, key, use)


def names(*count: int, of: str = "r") -> list[str]:
    """names(3): r1 to r3; names(2, 4): r2 to r4."""
    first, last = (1, *count)[-2:]
    return [f"{of}{number}" for number in range(first, last + 1)]


@dataclass
class Story:
    """Answers of Consul one after the other, and what comes of them. `restarts`: a new engine for each answer."""

    limits: Limits = field(default_factory=Limits)
    restarts: bool = False
    past: Past = field(default_factory=Past)
    last: Release | None = None
    said: Decision | None = None

    def at(
        self,
        now: float,
        live: Iterable[str],
        draining: Iterable[str] = (),
        critical: Iterable[str] = (),
        disabled: Iterable[str] = (),
        approved: bool = False,
        kept: Iterable[str] = (),
    ) -> "Story":
        """Consul's answer; who is not named is absent. `critical` is out, `disabled` critical but kept.

        `kept`: in maintenance, in a list that can disable nobody.
        """
        uses = {Use.IN: live, Use.DRAINING: draining, Use.OUT: critical, Use.DISABLED: disabled, Use.KEPT: kept}
        answer = [record(name, use) for use, some in uses.items() for name in some]
        if self.restarts:
            self.past = past_json.load(json.loads(json.dumps(past_json.dump(self.past))))
        said = decide(answer, self.last, self.past, self.limits, now, approved)
        held = {kept.key for kept in said.kept}
        stays = [r for r in answer if r.use is not Use.OUT and r.key not in held]
        spared = [replace(r, use=Use.IN) if r.key in said.spared else r for r in stays]
        self.last, self.past, self.said = make_release([*spared, *said.kept], named=said.spared), said.past, said
        return self

    @property
    def target(self) -> list[str]:
        """In use."""
        assert self.last is not None
        return [r.line for r in self.last.records if r.use is Use.IN]

    @property
    def kept(self) -> list[str]:
        """In use until they deregister."""
        assert self.last is not None
        return [r.line for r in self.last.records if r.use is Use.KEPT]

    @property
    def off(self) -> list[str]:
        """There, and disabled."""
        assert self.last is not None
        return [r.line for r in self.last.records if r.key in self.last.disabled]

    @property
    def held(self) -> dict[str, float | None]:
        """Held records and until when."""
        assert self.said is not None
        return {kept.line: self.said.holds[kept.key].until for kept in self.said.kept}

    @property
    def reasons(self) -> set[str]:
        assert self.said is not None
        return {hold.why for hold in self.said.holds.values()}

    @property
    def wake(self) -> float | None:
        assert self.said is not None
        return self.said.wake

    @property
    def spared(self) -> list[str]:
        assert self.said is not None
        return ["/".join(map(str, key)).removeprefix("1/") for key in self.said.spared]
