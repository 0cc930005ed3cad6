"""Many lists on one Kamailio, and what came of them."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from tools.kamailio_roots import Kamailio
from tools.oracle.adapter import Adapter
from tools.oracle.judge import Judged, Loads, judge, judge_written
from tools.oracle.kamailio import Reloading, Starting
from tools.oracle.lists import Drawn

CASES = Path(__file__).parents[2] / "tests" / "oracle" / "cases"
WORKERS = 3
"""Kamailios at a time where each list has its own: two cores, and a start waits as well as it computes."""
_WRITTEN = 8
"""Where each list has a Kamailio of its own, one in so many is also loaded as we would write it."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A list over which check and Kamailio differ, and why."""

    drawn: Drawn
    trouble: str

    def write(self, version: str, directory: Path = CASES) -> Path:
        """As a data file, for a test that replays it for ever."""
        drawn = self.drawn
        name = f"{drawn.dataset}-{sha256(drawn.data).hexdigest()[:8]}.json"
        found = {"dataset": drawn.dataset, "row": drawn.row, "seed": drawn.seed, "number": drawn.number}
        found |= {"kamailio": version, "trouble": self.trouble}
        found["list"] = drawn.data.decode("utf-8", "surrogateescape")
        (directory / name).write_text(json.dumps(found, indent=1) + "\n")
        return directory / name


@dataclass
class Outcome:
    """What came of the lists of one dataset."""

    dataset: str
    version: str
    accepted: int = 0
    seconds: float = 0.0
    judged: list[tuple[Drawn, Judged]] = field(default_factory=list)
    disagreements: list[Disagreement] = field(default_factory=list)

    @property
    def rows(self) -> Counter[str]:
        """Lists of each row."""
        return Counter(drawn.row for drawn, _ in self.judged)

    @property
    def excuses(self) -> Counter[str]:
        """Lists that each exception stood for."""
        return Counter(excuse.name for _, judged in self.judged for excuse in judged.excuses)

    def __str__(self) -> str:
        count = len(self.judged)
        return (
            f"{self.dataset} on {self.version}: {count} lists, {self.accepted * 100 // max(count, 1)} % accepted, "
            f"{len(self.disagreements)} disagreements, {self.seconds:.0f} s"
        )


def run(adapter: Adapter, program: Kamailio, lists: Iterable[Drawn]) -> Outcome:
    """Judge them all; disagreements come shrunk."""
    outcome = Outcome(adapter.dataset.name, program.version)
    begin = time.monotonic()
    with loader(adapter, program) as kamailio:
        for drawn, judged, trouble in _all(adapter, kamailio, lists):
            outcome.judged.append((drawn, judged))
            outcome.accepted += judged.accepted
            if trouble:
                found = shrunk(adapter, kamailio, drawn) if judged.trouble else drawn
                outcome.disagreements.append(Disagreement(found, trouble))
    outcome.seconds = time.monotonic() - begin
    return outcome


def loader(adapter: Adapter, program: Kamailio) -> Reloading | Starting:
    """A Kamailio for this dataset, to be used in a `with`."""
    return Reloading(adapter, program) if adapter.reload else Starting(adapter, program)


def _all(adapter: Adapter, kamailio: Loads, lists: Iterable[Drawn]) -> Iterator[tuple[Drawn, Judged, str]]:
    def one(drawn: Drawn) -> tuple[Drawn, Judged, str]:
        return drawn, *judge_all(adapter, drawn, kamailio)

    if adapter.reload:
        yield from map(one, lists)
        return
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(one, lists)


def judge_all(adapter: Adapter, drawn: Drawn, kamailio: Loads) -> tuple[Judged, str]:
    """As it is, and as the engine would write its good records."""
    judged = judge(adapter, drawn.data, kamailio)
    if judged.trouble or not (adapter.reload or drawn.number % _WRITTEN == 0):
        return judged, judged.trouble
    return judged, judge_written(adapter, judged.checked, drawn.data, kamailio)


def shrunk(adapter: Adapter, kamailio: Loads, drawn: Drawn) -> Drawn:
    """With as few lines as show the same trouble."""
    lines, at = drawn.data.split(b"\n"), 0
    while at < len(lines) and len(lines) > 1:
        fewer = lines[:at] + lines[at + 1 :]
        if judge(adapter, b"\n".join(fewer), kamailio).trouble:
            lines = fewer
        else:
            at += 1
    return Drawn(drawn.dataset, drawn.row, drawn.seed, drawn.number, b"\n".join(lines))
