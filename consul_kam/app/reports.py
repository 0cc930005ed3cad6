"""Verdicts for journal, log and alert command; on a worker of its own, so that a slow listener delays nothing."""

import contextlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consul_kam.adapters.journal import Journal
from consul_kam.adapters.notify import alert
from consul_kam.app.counters import Counters
from consul_kam.app.loop import Worker
from consul_kam.app.surroundings import used_by_alerts
from consul_kam.core.events import Report, Verdict
from consul_kam.core.records import Key, Release

SHOWN = 50
"""Keys listed in one journal entry; the counts are always whole."""
RECENT = 300
"""Entries kept in memory."""
ALARMING = (Verdict.HELD, Verdict.DEGRADED, Verdict.REJECTED)
REPEATED = (Verdict.BUSY, Verdict.BLOCKED, Verdict.DEGRADED, Verdict.OBSERVED, Verdict.REJECTED)
"""Verdicts that a retry gives again: reported once until something else is."""
LEVELS = ("debug", "info", "warning", "error")


@dataclass(slots=True)
class Reporter:
    """`json_log`: one JSON object a line on standard error, not key=value. `alert_environment`: names of variables."""

    journal: Journal
    alert_command: Sequence[str] = ()
    alert_deadline: float = 10.0
    alert_environment: Sequence[str] = ()
    json_log: bool = False
    level: str = "info"
    counters: Counters = field(default_factory=Counters)
    recent: tuple[Mapping[str, Any], ...] = ()
    """The newest entries of the journal, oldest first, for whoever shows them; read from any thread."""
    _worker: Worker = field(default_factory=lambda: Worker("reports", limit=1000))
    _alerts: Worker = field(default_factory=lambda: Worker("alerts", limit=100))
    _last: dict[str, tuple[Verdict, str]] = field(default_factory=dict)

    def report(self, dataset: str, report: Report, before: Release | None, ms: Mapping[str, float]) -> None:
        """One verdict. `before`: the release published before it; `ms`: milliseconds a stage."""
        digest = report.release.digest if report.release is not None else ""
        said = (report.verdict, digest or report.reason)
        if report.verdict in REPEATED and self._last.get(dataset) == said:
            return
        self._last[dataset] = said
        self.counters.verdict(dataset, report.verdict, ms)
        at = time.time()
        self._worker.submit(lambda: self._write(entry_of(dataset, report, before, ms, at), report.verdict))

    def note(self, dataset: str, event: str, **facts: Any) -> None:
        """Anything else worth a line: starts, operators' words, failures beside the pipeline."""
        entry = {"at": time.time(), "dataset": dataset, "event": event, **facts}
        self._worker.submit(lambda: self._write(entry, None))

    def warn(self, event: str) -> None:
        """What an operator should mend, beside all datasets."""
        self.tell(event, "warning")

    def tell(self, event: str, level: str = "info", **facts: Any) -> None:
        """What concerns the node, beside all datasets. From any thread."""
        entry = {"at": time.time(), "event": event, **facts}
        self._worker.submit(lambda: self._write(entry, None, level))

    @property
    def dropped(self) -> int:
        """Reports that were lost because journal or log could not keep up."""
        return self._worker.dropped

    def tail(self, limit: int, dataset: str | None, since: float = 0.0) -> list[dict[str, Any]]:
        return self.journal.tail(limit, dataset, since)

    def recall(self) -> None:
        """Have `recent` begin with what is in the journal by now."""
        self._worker.submit(self._recall)

    def close(self) -> None:
        self._worker.close(2.0)
        self._alerts.close(0.1)

    def _recall(self) -> None:
        with contextlib.suppress(OSError):  # who writes it says what is wrong
            self.recent = tuple(self.journal.tail(RECENT))

    def _write(self, entry: dict[str, Any], verdict: Verdict | None, level: str = "info") -> None:
        self.recent = (*self.recent[1 - RECENT :], entry)
        try:
            self.journal.write(entry)
        except OSError as error:
            self._log({"event": "cannot write the journal", "reason": error.strerror}, "error")
        alarming = verdict in ALARMING
        self._log(entry, "warning" if alarming else level)
        if alarming and self.alert_command:
            self._alerts.submit(lambda: self._alert(entry))

    def _alert(self, entry: dict[str, Any]) -> None:
        failed = alert(self.alert_command, entry, used_by_alerts(self.alert_environment), self.alert_deadline)
        if failed:
            self._log({"event": failed}, "error")

    def _log(self, entry: Mapping[str, Any], level: str) -> None:
        if LEVELS.index(level) < LEVELS.index(self.level):
            return
        if self.json_log:
            line = json.dumps({"level": level, **entry})
        else:
            line = f"level={level} " + " ".join(f"{key}={_text(value)}" for key, value in entry.items() if value)
        # A log on a full disk, or one that nobody reads any more, must not take the journal and the alerts with it.
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr, flush=True)


def entry_of(
    dataset: str, report: Report, before: Release | None, ms: Mapping[str, float], at: float
) -> dict[str, Any]:
    """What the journal says of a verdict."""
    entry: dict[str, Any] = {"at": at, "dataset": dataset, "verdict": report.verdict.value, "reason": report.reason}
    if report.difference is not None:
        entry["difference"] = str(report.difference)
    if report.release is not None:
        entry |= _contents(report.release)
        if report.verdict in (Verdict.PUBLISHED, Verdict.HELD):
            entry |= _changes(before, report.release)
    if ms:
        entry["ms"] = {stage: round(took, 3) for stage, took in ms.items()}
    return entry


def _contents(release: Release) -> dict[str, Any]:
    return {
        "digest": release.digest[:12],
        "records": len(release.records),
        "held": {text(key): why for key, why in list(release.held.items())[:SHOWN]},
        "refused": [text(key) for key in release.refused[:SHOWN]],
        "dropped": [str(problem) for problem in release.dropped[:SHOWN]],
        "draining": [text(key) for key in sorted(release.disabled, key=str)[:SHOWN]],
        "named": {text(key): why for key, why in release.named.items()},
    }


def _changes(before: Release | None, after: Release) -> dict[str, Any]:
    old = {record.key: record for record in before.records} if before is not None else {}
    new = {record.key: record for record in after.records}
    lists = {
        "added": [key for key in new if key not in old],
        "removed": [key for key in old if key not in new],
        "changed": [key for key, record in new.items() if key in old and old[key] != record],
    }
    shown: dict[str, Any] = {name: [text(key) for key in keys[:SHOWN]] for name, keys in lists.items() if keys}
    shown["counts"] = {name: len(keys) for name, keys in lists.items()}
    return shown


def text(key: Key) -> str:
    """A key as people write it: "1 sip:10.0.0.1:5060"."""
    return " ".join(map(str, key))


def _text(value: Any) -> str:
    """One word of a log line: in quotes where it needs them, printable whatever Consul holds."""
    written = value if isinstance(value, str) else json.dumps(value)
    plain = all(c.isprintable() and not c.isspace() and c not in '"=' for c in written)
    return written if plain else json.dumps(written).replace("\x7f", "\\u007f")
