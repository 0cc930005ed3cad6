"""Has Kamailio restarted where that is not ours to do: by a file that a unit of root's looks for (examples/systemd)."""

from collections.abc import Callable, Iterable
from pathlib import Path

from consul_kam.adapters import files
from consul_kam.app.reports import Reporter
from consul_kam.core.health import ProbeState

FIRST, LONGEST = 30.0, 300.0
"""Seconds between two requests in a row: the second, doubling, and at most. A start takes up to 30 s (no resolver)."""
Later = Callable[[Callable[[], None]], None]
"""Runs a job on the disk's worker."""


class Asker:
    """`file` is the request, "" where nobody looks for one."""

    def __init__(self, file: str, later: Later, reporter: Reporter) -> None:
        self._file, self._later, self._reporter = file, later, reporter
        self._wait = self._next = 0.0

    def look(self, probes: Iterable[ProbeState], now: float) -> None:
        """`now`: monotonic. A probe with advice is one whose restart is somebody else's."""
        why = next((f"{each.name}: {each.reason}" for each in probes if each.advice and each.healthy is False), "")
        if not why and now >= self._next:
            self._wait = 0.0  # it has been well for long enough
        if not why or not self._file or now < self._next:
            return
        self._wait = min(2 * self._wait, LONGEST) or FIRST
        self._next = now + self._wait
        self._later(lambda: self._ask(why))

    def _ask(self, why: str) -> None:
        try:
            files.write_atomic(Path(self._file), f"{why}\n".encode(), 0o644)
        except OSError as error:
            self._reporter.warn(f"cannot ask for a restart of Kamailio by {self._file}: {error.strerror or error}")
        else:
            self._reporter.warn(f"Kamailio's restart is asked for by {self._file}: {why}")
