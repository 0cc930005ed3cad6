"""What the demo believes: samples of Kamailio's memory and of who it is, consul_kam's journal, the routers' own counts
of calls.

An act is judged by these alone (and by sipp, play.py); the script supplies only the moments at which it did something.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.demo.programs import Life
from tests.lab import Dispatcher, Sampler

Memory = Mapping[str, str]
"""Set 1 as {URI: first letter of FLAGS}: A active, T trying, I inactive, D disabled."""
Predicate = Callable[[Memory], bool]


def memory(seen: Dispatcher | None) -> Memory:
    """An empty one too where nothing is known."""
    return {each.uri: each.flags[:1] for each in (seen or {}).get(1, [])}


@dataclass(frozen=True)
class Check:
    """One promise. `ms`: from the deed to the sample that shows it."""

    what: str
    ok: bool
    source: str
    ms: float | None = None


@dataclass
class Evidence:
    """Of one act. `marks`: moments, monotonic s. `journal`: the entries written since it began; None: no journal.

    `life`: who Kamailio is and whether it answers, where the act had that watched.
    """

    seen: Sampler[Dispatcher]
    life: Sampler[Life] | None
    marks: Mapping[str, float]
    journal: Sequence[Mapping[str, Any]] | None
    counts: Mapping[str, int]
    checks: list[Check] = field(default_factory=list)

    def came(self, what: str, since: str, predicate: Predicate) -> None:
        """Memory was not so at the moment `since`, and then it was."""
        at = self.marks[since]
        states = [(sample.at, predicate(memory(sample.value))) for sample in self.seen.since(at)]
        found = next((moment for moment, holds in states if holds), None)
        ok = found is not None and found > at
        self.checks.append(Check(what, ok, "sampler", (found - at) * 1000 if found is not None and ok else None))

    def always(self, what: str, since: str, predicate: Predicate, until: str = "", away: bool = False) -> None:
        """In every sample between two moments; no answer from Kamailio is a failure too, unless it may be `away`."""
        end = self.marks[until] if until else float("inf")
        samples = [sample for sample in self.seen.since(self.marks[since]) if sample.at < end]
        held = all(away if sample.value is None else predicate(memory(sample.value)) for sample in samples)
        self.checks.append(Check(what, bool(samples) and held, "sampler"))

    def main_process(self, moment: str) -> int:
        """Kamailio's at that moment, 0 where nobody answered."""
        assert self.life is not None
        first = self.life.since(self.marks[moment])[0].value
        return first.pid if first is not None else 0

    def same(self, what: str, since: str, until: str) -> None:
        """One Kamailio answered OPTIONS in every sample between two moments."""
        assert self.life is not None
        samples = [sample for sample in self.life.since(self.marks[since]) if sample.at < self.marks[until]]
        lives = {sample.value for sample in samples}
        pid = self.main_process(since)
        self.checks.append(Check(f"{what}: process {pid or '?'}", lives == {Life(pid, True)}, "sampler"))

    def reborn(self, what: str, since: str) -> None:
        """Another Kamailio than at the moment `since` came to answer OPTIONS."""
        assert self.life is not None
        at, old = self.marks[since], self.main_process(since)
        lives = ((sample.at, sample.value) for sample in self.life.since(at) if sample.value is not None)
        moment, new = next(((at, life) for at, life in lives if life.answers and life.pid != old), (at, None))
        told = f"{what}: process {old} is now {new.pid}" if new is not None else what
        self.checks.append(Check(told, new is not None, "sampler", (moment - at) * 1000 if new is not None else None))

    def says(self, what: str, predicate: Callable[[Mapping[str, Any]], object]) -> None:
        """The journal has such an entry. Nothing is asked of a pipeline without a journal."""
        if self.journal is not None:
            self.checks.append(Check(what, any(map(predicate, self.journal)), "journal"))

    def nobody(self, what: str, count: str) -> None:
        """No call reached those whose calls were counted under this name."""
        number = self.counts[count]
        self.checks.append(Check(f"{number} {what}", number == 0, "routers"))

    def stages(self) -> Mapping[str, float]:
        """Milliseconds a stage, measured by the engine, of the first change in this act that reached memory."""
        return next((entry["ms"] for entry in self.journal or () if "memory" in entry.get("ms", {})), {})
