"""What the demo believes: samples of Kamailio's memory, the engine's journal, the routers' own counts of calls.

An act is judged by these alone (and by sipp, play.py); the script supplies only the moments at which it did something.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    """Of one act. `marks`: moments, monotonic s. `journal`: the entries written since it began; None: no journal."""

    seen: Sampler[Dispatcher]
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

    def always(self, what: str, since: str, predicate: Predicate, until: str = "") -> None:
        """In every sample between two moments; no answer from Kamailio is a failure too."""
        end = self.marks[until] if until else float("inf")
        samples = [sample for sample in self.seen.since(self.marks[since]) if sample.at < end]
        held = all(sample.value is not None and predicate(memory(sample.value)) for sample in samples)
        self.checks.append(Check(what, bool(samples) and held, "sampler"))

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
