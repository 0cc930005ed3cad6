"""What the engine knows of the records that somebody asks about; the facts of core/known.py.

On the decision thread, but for journal and live files, which a worker of its own reads. Without an engine the command
line makes lanes from the same files and asks the same questions of them (app/explain.py).
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from consul_kam.adapters import files
from consul_kam.adapters.control import Reply
from consul_kam.app import views
from consul_kam.app.engine import Engine, Lane
from consul_kam.app.loop import Worker
from consul_kam.app.ordering import Ordering
from consul_kam.app.reports import text
from consul_kam.core.dataset import Dataset
from consul_kam.core.known import Listed, Staged, Subject
from consul_kam.core.meant import Meant, means_key, means_source, meant
from consul_kam.core.order import Wait
from consul_kam.core.reach import left_out
from consul_kam.core.records import Key, Problem, Record, Seen, Source, Use
from consul_kam.errors import ConsulKamError, ListError

MOST = 50
"""Matches told of one dataset."""
JOURNAL = 1000
"""Newest entries of the journal that are looked through for what happened last."""

Also = Collection[tuple[str, str, str]]
"""(service, ID, node) of instances that are meant whatever their record looks like."""


Pairs = list[tuple[Key | None, Subject]]


@dataclass
class Explainer:
    """Answers `{"do":"explain","what":WORD,"also":TEXT}`. TEXT is JSON, for a request nests nothing: Also."""

    engine: Engine
    ordering: Ordering
    _worker: Worker | None = None

    def explain(self, request: dict[str, object], reply: Reply) -> None:
        """Raises ConsulKamError for no question."""
        what, also = request.get("what"), _loaded(request.get("also") or "[]")
        if not isinstance(what, str) or not what.strip() or not isinstance(also, list):
            raise ConsulKamError("cannot explain nothing: give an ID, an address, a URI, a node or a KV path")
        who = meant(what)
        known = {(str(e[0]), str(e[1]), str(e[2])) for e in also if isinstance(e, list) and len(e) == 3}
        found = [
            (lane, *gather(lane, who, known, self.ordering.waits(name))) for name, lane in self.engine.lanes.items()
        ]
        # Journal and live files are read beside decisions and writes: they may be long.
        self._worker = self._worker or Worker("explain")
        self._worker.submit(lambda: reply({"ok": True, **self._told(found)}))

    def _told(self, found: list[tuple[Lane, Listed, Pairs]]) -> dict[str, Any]:
        """On the worker."""
        try:
            last = _last_words(self.engine.reporter.tail(JOURNAL, None))
        except OSError:  # who asks why is told the rest
            last = {}
        subjects = [subject for lane, _, pairs in found for subject in with_live_file(lane, pairs)]
        known = [
            replace(s, last_word=word, last_at=at) for s in subjects for word, at in [last.get(_name(s), ("", None))]
        ]
        return {"datasets": [asdict(listed) for _, listed, _ in found], "subjects": [asdict(each) for each in known]}


def _loaded(text: object) -> object:
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def _name(subject: Subject) -> tuple[str, str]:
    return subject.dataset, subject.key


def with_live_file(lane: Lane, pairs: Pairs) -> list[Subject]:
    """Whether each stands in the live file; reads it."""
    there = _live_keys(lane) if pairs else set()
    return [replace(subject, live=None if there is None else key in there) for key, subject in pairs]


def _live_keys(lane: Lane) -> set[Key] | None:
    try:
        data = files.read_if_there(lane.work.live)
        if data is None:
            return set()
        return {record.key for record in lane.pipeline.dataset.parse_native(str(lane.work.live), data).records}
    except (OSError, ListError):
        return None


def _last_words(entries: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, float | None]]:
    """(dataset, key as people write it) -> what the journal says happened to it last, and when."""
    found: dict[tuple[str, str], tuple[str, float | None]] = {}
    for entry in entries:
        for word in ("added", "changed", "removed"):
            for key in entry.get(word) or ():
                if isinstance(key, str) and isinstance(entry.get("at"), int | float):
                    found[str(entry.get("dataset")), key] = word, float(entry["at"])
    return found


def gather(lane: Lane, who: Meant, also: Also, waits: Mapping[Key, Wait]) -> tuple[Listed, Pairs]:
    """The dataset at a glance, and what is meant in it. Touches no file."""
    look = _Look(lane, who, also, waits)
    return _listed(lane), look.subjects()[:MOST]


def _listed(lane: Lane) -> Listed:
    pipeline, state = lane.pipeline, lane.pipeline.state
    staging = [views.staging(lane, part) for part in lane.staging]
    ago = time.monotonic() - state.read_at
    return Listed(
        name=pipeline.dataset.name,
        staging=tuple(Staged(s["path"], s["state"], s["error"], s["at"]) for s in staging),
        phase=state.phase.value,
        verdict=pipeline.verdict.verdict.value if pipeline.verdict is not None else "",
        reason=(pipeline.verdict.reason if pipeline.verdict is not None else "") or state.trouble,
        paused=pipeline.paused,
        observe=pipeline.observe,
        pinned=pipeline.pinned,
        live=str(lane.work.live),
        memory_known=state.memory is not None,
        read_at=pipeline.wall() - ago if state.memory is not None else None,
    )


@dataclass
class _Look:
    """One question to one list."""

    lane: Lane
    who: Meant
    also: Also
    waits: Mapping[Key, Wait]
    _found: dict[tuple[Key | None, tuple[str, str, str]], Subject] = field(default_factory=dict)

    def __post_init__(self) -> None:
        pipeline = self.lane.pipeline
        self._dataset: Dataset = pipeline.dataset
        self._memory: dict[Key, Seen] = {entry.key: entry for entry in pipeline.state.memory or ()}
        releases = (pipeline.state.lkg, pipeline.state.target, pipeline.wanted, pipeline.last)
        self._kept = {record.key: record for release in releases if release is not None for record in release.records}
        wanted = pipeline.wanted or pipeline.state.newest or pipeline.state.target
        self._wanted = {record.key: record for record in (wanted.records if wanted is not None else ())}
        self._disabled = wanted.disabled if wanted is not None else frozenset()

    def subjects(self) -> Pairs:
        """Entries of staging first, then what was dropped, then what only a release or memory has."""
        for record, where in self._entries():
            if self._means(record.key, record.seen, record.source):
                self._add(record.key, record, record.source, where)
        for problem in self._problems():
            source = problem.source or Source()
            if self._means(problem.key, (), source) or (problem.source is None and self.who.text in problem.reason):
                self._drop(problem, source)
        for key, record in self._kept.items():
            if self._means(key, record.seen, record.source) and not self._has(key):
                self._add(key, record, record.source, "")
        for key, entry in self._memory.items():
            if self._means(key, entry.seen, Source()) and not self._has(key):
                self._add(key, None, Source(), "")
        return [(key, subject) for (key, _), subject in self._found.items()]

    def _means(self, key: Key | None, seen: tuple[object, ...], source: Source) -> bool:
        who = (source.service, source.id, source.node)
        if who in self.also or means_source(self.who, source):
            return True
        return key is not None and means_key(self.who, self._dataset, key, seen)

    def _has(self, key: Key) -> bool:
        return any(key == known for known, _ in self._found)

    def _entries(self) -> Iterator[tuple[Record, str]]:
        for entry in self.lane.pipeline.staging.values():
            if entry.answer is not None:
                lines = entry.answer.lines or (0,) * len(entry.answer.records)
                for record, line in zip(entry.answer.records, lines, strict=True):
                    yield record, f"{entry.answer.file}:{line}" if line else entry.answer.file

    def _problems(self) -> list[Problem]:
        pipeline = self.lane.pipeline
        answers = [entry.answer for entry in pipeline.staging.values() if entry.answer is not None]
        own = [problem for answer in answers for problem in answer.problems]
        return [*own, *(p for p in (pipeline.last.dropped if pipeline.last is not None else ()) if p not in own)]

    def _drop(self, problem: Problem, source: Source) -> None:
        who = (source.service, source.id, source.node)
        place = (problem.key, who)
        if place not in self._found:
            place = next((p for p in self._found if p[1] == who and who[1] and problem.key in (None, p[0])), place)
        if place not in self._found:
            self._add(problem.key, None, source, "" if problem.line == 0 else f"{problem.file}:{problem.line}")
        before = self._found[place]
        self._found[place] = replace(before, dropped=(*before.dropped, str(problem)))

    def _add(self, key: Key | None, record: Record | None, source: Source, where: str) -> None:
        name = text(key) if key is not None else ""
        subject = Subject(
            dataset=self._dataset.name, key=name, service=source.service, id=source.id, node=source.node,
            dc=source.dc, status=source.status, where=where, use=record.use.value if record is not None else "",
        )  # fmt: skip
        who = (source.service, source.id, source.node)
        self._found[key, who] = self._of_memory(self._of_plan(subject, key, record), key) if key else subject

    def _of_plan(self, subject: Subject, key: Key, record: Record | None) -> Subject:
        pipeline = self.lane.pipeline
        hold, wait, refusal = pipeline.past.holds.get(key), self.waits.get(key), pipeline.refusals.get(key)
        last = pipeline.last
        held = hold is not None and last is not None and key in last.held
        stands = self._wanted.get(key)
        host = record.host if record is not None and record.host in pipeline.failing else None
        ahead = pipeline.wall() - time.monotonic()
        return replace(
            subject,
            stands_for=_other(record, stands),
            wanted=stands is not None,
            held_why=hold.why if held and hold is not None else "",
            held_until=hold.until if held and hold is not None else None,
            waits_why=wait.why if wait is not None else "",
            waits_until=wait.until + ahead if wait is not None else None,
            refused_times=refusal.times if refusal is not None else 0,
            refused_retry=refusal.retry if refusal is not None else None,
            blocked=left_out(host) if host is not None else "",
            blocked_since=pipeline.failing[host] if host is not None else None,
            named=last.named.get(key, "") if last is not None else "",
            disabled=key in self._disabled,
            ours=key in pipeline.state.ours,
        )

    def _of_memory(self, subject: Subject, key: Key) -> Subject:
        entry = self._memory.get(key)
        if entry is None:
            return subject
        # Where disabled is a value of its own (rtpengine: weight 0), no state shows it.
        by_value = key in self._disabled and self._dataset.as_disabled is not None
        takes_calls = not entry.disabled and not by_value and self._dataset.active(entry.state)
        return replace(subject, in_memory=True, state=entry.state, callable=takes_calls)


def _other(record: Record | None, stands: Record | None) -> str:
    """The source of the record in use where it is another's, and not the very same record."""
    if record is None or stands is None or not record.source.id or not stands.source.id:
        return ""
    if record.source == stands.source or (record.line == stands.line and record.use is not Use.OUT):
        return ""
    mine, its = record.source, stands.source
    return "" if (mine.service, mine.id, mine.node) == (its.service, its.id, its.node) else str(its)
