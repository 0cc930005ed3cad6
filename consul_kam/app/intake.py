"""What comes in from staging: read, parsed, and where records go missing, held against Consul's ACLs."""

import hashlib
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path

from consul_kam.adapters import files
from consul_kam.adapters.consul_source import Source
from consul_kam.app.acls import AclWatch
from consul_kam.app.engine import Engine, Lane, Trace
from consul_kam.core.dataset import Dataset
from consul_kam.core.events import Phase
from consul_kam.core.lines import is_staging
from consul_kam.core.records import Answer, Use
from consul_kam.core.records import Source as Given
from consul_kam.errors import ListError

PATIENCE = 3.0
"""Seconds that Consul has for its word."""
MUCH = 0.5
"""The share of lost records from which an answer is not believed before Consul was asked about its ACLs."""


class Intake:
    """Feeds an engine."""

    def __init__(self, engine: Engine, acls: AclWatch) -> None:
        self._engine, self._loop, self._acls = engine, engine.loop, acls
        self._reading = threading.Lock()
        """Files are read on the watch's thread and on the disk worker's, and posted in the order of reading."""
        self._read: dict[Path, str] = {}
        """Digest of what was last read of each file."""
        self.record: Callable[[str, str, bytes], None] | None = None
        """Is told of each new content (dataset, part, content), on the thread that reads; must not block."""

    def start(self) -> None:
        """Take in what is there; where that is nothing, the last known good is wanted."""
        self.scan_all()
        self.then(self._fall_back)

    def scan_all(self) -> None:
        """Look at every staging file, whoever wrote it."""
        for lane in self._engine.lanes.values():
            for part in lane.staging:
                self._scan(lane, part, time.monotonic())

    def changed(self, path: Path) -> None:
        """From any thread: this file was written. It is read right here, since each hand-over to another thread costs
        a part of the milliseconds that a change may take.
        """
        began = time.monotonic()
        for lane in self._engine.lanes.values():
            for part, place in lane.staging.items():
                if place == path:
                    self._loop.take(lambda lane=lane: self._engine.read_ahead(lane))  # type: ignore[misc]
                    self._take_in(lane, part, began)

    def coming(self, path: Path) -> None:
        """From any thread: somebody began to write a file there, maybe one that is going to replace one of ours. That
        takes consul-template an fsync, in which Kamailio can tell the states.
        """
        for lane in self._engine.lanes.values():
            if lane.pipeline.dataset.states is not None and any(p.parent == path.parent for p in lane.staging.values()):
                self._loop.take(lambda lane=lane: self._engine.read_ahead(lane))  # type: ignore[misc]

    def then(self, call: Callable[[], None]) -> None:
        """Run `call` in the loop, once every scan asked for before has been taken in."""
        self._engine.disk.submit(lambda: self._loop.post(call))

    def _scan(self, lane: Lane, part: str, began: float) -> None:
        entry = lane.pipeline.staging.get(part)
        known = entry.digest if entry is not None else ""
        self._engine.disk.submit(lambda: self._take_in(lane, part, began, known))

    def _take_in(self, lane: Lane, part: str, began: float, known: str = "") -> None:
        """Read a staging file, and post what is new."""
        path = lane.staging[part]
        with self._reading:
            started = time.monotonic()
            # What was current when this was asked for may meanwhile have been overtaken by another reading.
            record = self.record
            keep = (lambda data: record(lane.pipeline.dataset.name, part, data)) if record is not None else None
            found = read_staging(lane.pipeline.dataset, path, known if self._read.get(path) == known else "", keep)
            if found is not None:
                self._read[path] = found[0]
                took = (time.monotonic() - started) * 1000
                self._loop.take(lambda: self._staged(lane, part, *found, began, took))

    def _staged(
        self, lane: Lane, part: str, digest: str, answer: Answer | None, error: str, began: float, took: float
    ) -> None:
        if lane.asked.get(part) == digest:
            return
        # Whatever Consul is being asked of this file, it is overtaken.
        lane.asked.pop(part, None)
        if lane.pipeline.current(part, digest):
            return
        lane.touched = time.monotonic()
        if lane.pipeline.state.phase in (Phase.IDLE, Phase.DEGRADED):
            lane.trace = Trace(began, {"parse": took})
        lost = self._lost(lane, part, answer) if answer is not None else 0.0
        if lost and answer is not None:
            lane.asked[part] = digest
            self._ask_consul(lane, part, digest, answer)
        if lost < MUCH and not (lost and answer is not None and _emptied(lane, part, answer)):
            self._engine.do(lane, lane.pipeline.staged(part, digest, answer, error, time.monotonic()))

    def _lost(self, lane: Lane, part: str, answer: Answer) -> float:
        """Which share of the records in use the answer no longer knows; 0 where ACLs cannot be the reason, 1 where none
        is in use: of a token that never had its rights nobody can say what is missing.
        """
        if not lane.sources.get(part):
            return 0.0
        last = lane.pipeline.last.records if lane.pipeline.last is not None else ()
        in_use = {record.key for record in last if record.part == part and record.use is Use.IN}
        return len(in_use.difference([record.key for record in answer.records])) / len(in_use) if in_use else 1.0

    def _ask_consul(self, lane: Lane, part: str, digest: str, answer: Answer) -> None:
        """One that loses much, or all of a source, waits for Consul's word. One that loses little does not: the guards
        let it pass, and what it lost wrongly comes back within milliseconds.
        """
        self._acls.ask(
            lane.sources[part], part, answer, lambda hidden: self._consul_said(lane, part, digest, answer, hidden)
        )
        # A Consul that does not answer hides nothing: consul-template had its answer from somewhere.
        late = time.monotonic() + PATIENCE
        self._loop.at(late, lambda: self._consul_said(lane, part, digest, answer, []))

    def _consul_said(self, lane: Lane, part: str, digest: str, answer: Answer, hidden: list[str]) -> None:
        if lane.asked.get(part) != digest:
            return
        del lane.asked[part]
        pipeline, now = lane.pipeline, time.monotonic()
        if hidden:
            reason = f"cannot use {lane.staging[part]}: Consul's ACLs hide some of {', '.join(hidden)} from our token"
            self._engine.do(lane, pipeline.disproved(part, digest, reason, now))
        elif not pipeline.current(part, digest):
            self._engine.do(lane, pipeline.staged(part, digest, answer, "", now))

    def _fall_back(self) -> None:
        """Nothing usable in staging: what was right before Consul went away is right until it says otherwise."""
        for lane in self._engine.lanes.values():
            pipeline = lane.pipeline
            if pipeline.state.newest is None and pipeline.state.lkg is not None and not lane.asked:
                self._engine.do(lane, pipeline.want(pipeline.state.lkg, time.monotonic()))


def _emptied(lane: Lane, part: str, answer: Answer) -> bool:
    """Whether one of several sources gives nothing any more: so it looks where a token has lost its right to it."""
    last = lane.pipeline.last.records if lane.pipeline.last is not None else ()
    before = _Givers(record.source for record in last if record.part == part and record.use is Use.IN)
    now = _Givers(record.source for record in answer.records)
    return any(before.has(source) and not now.has(source) for source in lane.sources[part])


class _Givers:
    """Where records come from, in one pass over them: a hundred sources and ten thousand records may be asked about."""

    def __init__(self, given: Iterable[Given]) -> None:
        self._services, ids = set[str](), set[str]()
        for each in given:
            self._services.add(each.service)
            ids.add(each.id)
        self._ids = sorted(ids)

    def has(self, source: Source) -> bool:
        """As `source.gave` says of one of them."""
        if source.kind == "service":
            return source.place in self._services
        at = bisect_left(self._ids, f"kv:{source.place}")  # what begins with it comes next, if there is any
        return at < len(self._ids) and source.gave("", self._ids[at])


def read_staging(
    dataset: Dataset, path: Path, known: str = "", keep: Callable[[bytes], None] | None = None
) -> tuple[str, Answer | None, str] | None:
    """(digest, answer or None, error) of a staging file; None where it is not there or as it was."""
    try:
        data = files.read_regular(path, closed=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        digest = f"unreadable: {error.errno}"
        return None if digest == known else (digest, None, f"cannot read {path}: {error.strerror}")
    digest = hashlib.sha256(data).hexdigest()
    if digest == known:
        return None
    if keep is not None:
        keep(data)
    try:
        return digest, parsed(dataset, os.fspath(path), data), ""
    except ListError as error:
        return digest, None, str(error)


def parsed(dataset: Dataset, file: str, data: bytes) -> Answer:
    """What a staging file says, of our templates or in Kamailio's own format. Raises ListError."""
    return dataset.parse_staging(file, data) if is_staging(data) else dataset.parse_native(file, data)
