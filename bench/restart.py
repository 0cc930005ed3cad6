"""How soon Kamailio is back after a sudden end of its main process: `consul-kam run`, supervisord, systemd in one run.

All run the same Kamailio by examples/kamailio/sbc.cfg with the same ten routers, and each in turn loses its main
process to SIGKILL. The workers of a main process that was killed go on answering SIP and RPC as before. So the new
instance is who answers with the number of a process that the old one did not have; it is back once it answered OPTIONS,
and RPC on the configured socket, with the right list.
"""

import os
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from bench.restarted import Contender, Ours, Supervisord, Systemd
from tests.lab import Lab, LabError

TURNS = 20
LIMIT = 10.0
"""Seconds without the new instance: it does not come by itself."""
SETTLE = 0.2
"""Seconds after which what systemd and supervisord know of the new one is so."""
IN_A_ROW = 6
"""Ends, each as soon as it is back: one more than systemd puts up with in 10 s by default (StartLimitBurst=)."""
PAUSE = 11.0
"""Seconds from one end to the next of the same contender: one more than a clean sheet takes, [supervise] quiet."""


class Tally:
    """What was seen of one contender."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failed = self.alive = self.served = 0

    def figures(self) -> dict[str, Any]:
        """`failed`: never back by itself. `old_left`, `old_serve`: turns after which processes of the old instance were
        still there, or answered calls or RPC, when the new one had come (or had not within LIMIT).
        """
        counts = {"turns": len(self.seconds) + self.failed, "failed": self.failed}
        counts |= {"old_left": self.alive, "old_serve": self.served}
        if len(self.seconds) < 2:
            return counts
        p95 = quantiles(self.seconds, n=20, method="inclusive")[18]
        return {
            "p50_ms": median(self.seconds) * 1000,
            "p95_ms": p95 * 1000,
            "max_ms": max(self.seconds) * 1000,
        } | counts


def run(turns: int = TURNS) -> dict[str, Any]:
    """Milliseconds from SIGKILL to the new instance, by contender; then ours against each."""
    with tempfile.TemporaryDirectory(prefix="ck-bench-") as place, Lab(Path(place)) as lab, ExitStack() as stack:
        contenders = [stack.enter_context(each) for each in _contenders(lab, Path(place))]
        tallies = {each.name: Tally() for each in contenders}
        next_at = dict.fromkeys(tallies, time.monotonic() + PAUSE)
        load = [os.getloadavg()[0]]
        for _ in range(turns):
            for each in contenders:
                time.sleep(max(0.0, next_at[each.name] - time.monotonic()))
                _one(each, tallies[each.name])
                next_at[each.name] = time.monotonic() + PAUSE
            load.append(os.getloadavg()[0])
        in_a_row = {each.name: _in_a_row(each) for each in contenders}
    figures: dict[str, Any] = {name: tally.figures() for name, tally in tallies.items()}
    return {"load": median(load), **figures, "back_of_6_in_a_row": in_a_row, "ours_to": _ratios(figures)}


def _contenders(lab: Lab, directory: Path) -> list[Contender]:
    return [
        Ours(directory / "ours", lab.consul()),
        Supervisord(directory / "supervisord"),
        Supervisord(directory / "supervisord-udp", udp=True),
        Supervisord(directory / "supervisord-sh", emptied=True),
        Systemd(directory / "debian"),
        Systemd(directory / "dropin", dropin=True),
    ]


def _one(contender: Contender, tally: Tally) -> None:
    """Kill it, wait for the new one, and look who else is there."""
    old = contender.eye.processes()
    took = _killed(contender, old)
    if took is None:
        tally.failed += 1
    else:
        tally.seconds.append(took)
    time.sleep(SETTLE)
    tally.alive += bool(contender.eye.left_of(old))
    tally.served += contender.eye.is_served_by(old)
    if contender.eye.left_of(old) or not contender.eye.is_well():
        contender.reset(old)


def _killed(contender: Contender, old: frozenset[int]) -> float | None:
    """Seconds from the end of its main process to the new instance; None: not within LIMIT."""
    main = contender.main()
    began = time.monotonic()
    os.kill(main, signal.SIGKILL)
    try:
        return contender.eye.sees_another(old, LIMIT) - began
    except LabError:
        return None


def _in_a_row(contender: Contender) -> int:
    """How many such ends it gets over, of IN_A_ROW."""
    for back in range(IN_A_ROW):
        if _killed(contender, contender.eye.processes()) is None:
            return back
        time.sleep(SETTLE)
    return IN_A_ROW


def _ratios(figures: dict[str, Any]) -> dict[str, float]:
    """Ours divided by theirs: below 1 is quicker."""
    ours = figures["ours"]
    return {
        f"{name}.{which}": ours[which] / theirs[which]
        for name, theirs in figures.items()
        for which in ("p50_ms", "p95_ms")
        if name != "ours" and which in theirs and which in ours
    }
