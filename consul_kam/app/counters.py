"""What is counted since the engine started; only on the decision thread."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from consul_kam.core.events import Verdict
from consul_kam.core.metrics import BOUNDS, STAGES
from consul_kam.core.vitals import Spread, Tally

PUBLISHED = (Verdict.PUBLISHED, Verdict.HELD)


@dataclass(slots=True)
class _Counted:
    verdicts: dict[str, int] = field(default_factory=dict)
    busy: int = 0
    stages: dict[str, Spread] = field(default_factory=dict)
    published_at: float | None = None


@dataclass(slots=True)
class Counters:
    """By dataset."""

    _counted: dict[str, _Counted] = field(default_factory=dict)

    def verdict(self, dataset: str, verdict: Verdict, ms: Mapping[str, float]) -> None:
        """One verdict, as the journal has it; `ms`: milliseconds a stage of a published change."""
        counted = self._of(dataset)
        counted.verdicts[verdict.value] = counted.verdicts.get(verdict.value, 0) + 1
        if verdict in PUBLISHED:
            counted.published_at = time.time()
        if "parse" not in ms:  # no change of Consul's: what it read meanwhile, at each look, is not one change's
            return
        for stage, took in ms.items():
            if stage in STAGES:
                counted.stages[stage] = counted.stages.get(stage, Spread.over(BOUNDS)).with_value(took / 1000)

    def busy(self, dataset: str) -> None:
        """Kamailio refused a reload as too soon."""
        self._of(dataset).busy += 1

    def tally(self, dataset: str) -> Tally:
        """A copy that stays as it is."""
        counted = self._of(dataset)
        return Tally(dict(counted.verdicts), counted.busy, dict(counted.stages), counted.published_at)

    def _of(self, dataset: str) -> _Counted:
        return self._counted.setdefault(dataset, _Counted())
