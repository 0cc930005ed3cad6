"""A dataset's lane at an engine's start, with all that outlived the last engine."""

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consul_kam.adapters import files
from consul_kam.adapters.releases import Releases
from consul_kam.app.acls import sources_of
from consul_kam.app.engine import Lane
from consul_kam.app.limits import policy
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.stored import DAMAGED, restored
from consul_kam.app.work import Work
from consul_kam.config import DatasetSettings, Settings
from consul_kam.core import past
from consul_kam.core.change import Base
from consul_kam.core.dataset import Dataset, file_name
from consul_kam.core.guards import Past
from consul_kam.core.plan import make_release
from consul_kam.core.ports import Rpc
from consul_kam.core.records import Key, Release
from consul_kam.core.state import State
from consul_kam.datasets import dataset
from consul_kam.errors import ConfigError, ListError


def lane(settings: Settings, chosen: DatasetSettings, client: Rpc) -> Lane:
    """Raises ConfigError, OSError."""
    found = dataset(chosen.name)
    assert chosen.file is not None
    releases = Releases(settings.releases / file_name(chosen.name))
    lkg, ours = _last_known_good(found, releases)
    live = _live(chosen.file, known=lkg is not None)
    memory = releases.memory()
    paused = bool(memory.get("paused"))
    gap = _gap(found, settings.kamailio.min_gap)
    pipeline = Pipeline(
        dataset=found,
        policy=policy(settings, chosen),
        state=State(
            gap=gap,
            ordered=found.ordered,
            halted=chosen.observe or paused,
            lkg=lkg,
            ours=ours | _marked(found, live),
            not_before=_not_before(chosen.file, gap(len(lkg.records) if lkg is not None else 0)),
        ),
        wall=time.time,
        parts=chosen.parts,
        observe=chosen.observe,
        past=_past(memory),
        last=lkg if lkg is not None else _adopted(found, chosen.file, live),
        previous=lkg,
        paused=paused,
    )
    work = Work(found, client, chosen.file, releases, settings.kamailio.rpc_deadline, chosen.resolve_deadline)
    work.base = Base(lkg)
    pinned = releases.load(str(memory.get("pinned") or ""))
    if pinned is not None:
        with contextlib.suppress(*DAMAGED):
            pipeline.last = restored(found, pinned)
            pipeline.pinned = pinned.name
    staging = {part: chosen.staging_of(part) for part in chosen.parts}
    return Lane(pipeline, work, staging, sources_of(chosen))


def _gap(found: Dataset, least: float | None) -> Callable[[int], float]:
    """Seconds to keep after a write of so many records. `least`: [kamailio] min_gap, which wins."""
    return found.gap.seconds if least is None else lambda records: least


def _not_before(path: Path, gap: float) -> float:
    """Monotonic s: who was before us may just have written the file, and had it loaded."""
    written = files.last_written(path)
    ago = time.time() - written if written is not None else float("inf")
    return time.monotonic() + max(0.0, gap - ago)


def _last_known_good(found: Dataset, releases: Releases) -> tuple[Release | None, frozenset[Key]]:
    stored = releases.newest()
    if stored is None:
        return None, frozenset()
    try:
        ours = frozenset(tuple(key) for key in stored.about.get("ours", []))
        return restored(found, stored), ours
    except DAMAGED:
        return None, frozenset()


def _marked(found: Dataset, live: bytes | None) -> frozenset[Key]:
    """What the live file says was disabled by us; one that cannot be read says nothing."""
    try:
        return found.ours(live) if live is not None else frozenset()
    except ListError:
        return frozenset()


def _live(path: Path, known: bool) -> bytes | None:
    """The live file at the start. What stands in its place is replaced where it is `known` that we published one there.

    Raises ConfigError.
    """
    try:
        return files.read_if_there(path)
    except OSError as error:
        if known:
            return None
        cure = "remove it, or name another file"
        raise ConfigError(f"cannot keep {path}: {error.strerror or error}; {cure}") from None


def _adopted(found: Dataset, path: Path, live: bytes | None) -> Release | None:
    """At the very first start the list that Kamailio has is what removals are counted from."""
    if live is None:
        return None
    try:
        records = found.parse_native(str(path), live).records
    except ListError:
        return None
    return make_release(list({record.key: record for record in records}.values()))


def _past(memory: Mapping[str, Any]) -> Past:
    try:
        return past.load(memory["past"])
    except (KeyError, TypeError, ValueError):
        return Past()
