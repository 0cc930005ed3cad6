"""What status and diff say: views of the state of one dataset. Shapes are documented in docs/cli.md."""

import os
import time
from typing import Any

from consul_kam.adapters import files
from consul_kam.app.engine import Lane
from consul_kam.app.freshness import Looked
from consul_kam.app.ordering import Ordering
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.reports import text
from consul_kam.core.compare import Difference
from consul_kam.core.events import Phase, Verdict
from consul_kam.core.fresh import Fresh
from consul_kam.core.records import Release, Use
from consul_kam.core.state import compare

SHOWN = 200
"""Keys listed of each kind; the counts are always whole."""


def status(lane: Lane, looked: Looked | None, ordering: Ordering) -> dict[str, Any]:
    """One dataset at a glance: is Consul = staging = live file = memory, what is kept from it, what to type next.

    `looked`: None where nobody asked what Consul says.
    """
    pipeline = lane.pipeline
    state, target = pipeline.state, pipeline.state.target
    diff = compare(state, state.memory) if target is not None and state.memory is not None else None
    last = pipeline.last
    held = pipeline.past.holds if last is not None and last.held else {}
    return {
        "name": pipeline.dataset.name,
        "phase": state.phase.value,
        "verdict": pipeline.verdict.verdict.value if pipeline.verdict is not None else "",
        "reason": reason(pipeline),
        "at": pipeline.verdict_at,
        "digest": target.digest[:12] if target is not None else "",
        "records": len(target.records) if target is not None else 0,
        "consul": _consul(looked.of(pipeline.dataset.name), looked.at) if looked is not None else None,
        "staging": [{**staging(lane, part), "consul": _word(looked, lane, part)} for part in lane.staging],
        "live": {"path": str(lane.work.live), "state": _live(lane)},
        "memory": {"state": _memory(diff), "difference": str(diff) if diff else "", "records": len(state.memory or ())},
        "held": [{"key": text(k), "why": h.why, "until": h.until} for k, h in list(held.items())[:SHOWN]],
        "waits": _waits(pipeline, ordering),
        "out_of_order": _out_of_order(pipeline, ordering),
        "dropped": [str(problem) for problem in last.dropped[:SHOWN]] if last is not None else [],
        "refused": [text(key) for key in list(pipeline.refusals)[:SHOWN]],
        "draining": _draining(target),
        "named": [{"key": text(key), "why": why} for key, why in last.named.items()] if last is not None else [],
        "blocked": sorted({host.name for host in pipeline.failing}),
        "states": {text(e.key): e.state for e in (state.memory or ())[:SHOWN] if e.state[:1] not in ("", "A")},
        "paused": pipeline.paused,
        "observe": pipeline.observe,
        "pinned": pipeline.pinned or None,
        "unverifiable": dict(pipeline.dataset.unverifiable or {}),
        "next": _next(pipeline, diff),
    }


def diff(lane: Lane, since: float) -> dict[str, Any]:
    """Memory against what it shall hold; `stale` where it was not read `since` (monotonic, s)."""
    state = lane.pipeline.state
    if state.target is None or state.memory is None:
        return {"name": lane.pipeline.dataset.name, "known": False}
    found = compare(state, state.memory)
    wanted = {record.key: record for record in state.target.records}
    there = {entry.key: entry for entry in state.memory}
    return {
        "name": lane.pipeline.dataset.name,
        "known": True,
        "read_at": time.time() - (time.monotonic() - state.read_at),
        "stale": state.read_at < since,
        "equal": not found,
        "missing": [wanted[key].line for key in found.missing[:SHOWN]],
        "extra": [text(key) for key in found.extra[:SHOWN]],
        "changed": [
            {"key": text(key), "wanted": wanted[key].line, "memory": [*map(str, there[key].seen), there[key].state]}
            for key in found.changed[:SHOWN]
        ],
        "misordered": list(found.misordered),
    }


def reason(pipeline: Pipeline) -> str:
    """Why, in a sentence; a window that stays shut has a cause that waiting does not mend (findings.md, Windows)."""
    told, window = pipeline.verdict, pipeline.dataset.window
    shut = pipeline.wall() - pipeline.shut_since if pipeline.shut_since is not None else 0.0
    if told is not None and told.verdict is Verdict.BUSY and window.seconds and shut > 2 * window.seconds:
        usual = f"Kamailio's window has been shut for {shut:.0f} s, {window.seconds:g} s are usual"
        return f"{usual}: somebody else reloads, or {window.longer}"
    return (told.reason if told is not None else "") or pipeline.state.trouble


def _waits(pipeline: Pipeline, ordering: Ordering) -> list[dict[str, Any]]:
    waits = list(ordering.waits(pipeline.dataset.name).items())[:SHOWN]
    ahead = pipeline.wall() - time.monotonic()
    return [{"key": text(key), "why": wait.why, "until": wait.until + ahead} for key, wait in waits]


def _out_of_order(pipeline: Pipeline, ordering: Ordering) -> list[dict[str, str]]:
    found = list(ordering.out_of_order(pipeline.dataset.name).items())[:SHOWN]
    return [{"key": text(key), "why": f"in use, and not in {other}"} for key, other in found]


def _consul(found: Fresh, at: float) -> dict[str, Any]:
    missing, extra = list(found.missing), list(found.extra)
    return {"state": found.state, "at": at, "reason": found.reason, "missing": missing, "extra": extra}


def _word(looked: Looked | None, lane: Lane, part: str) -> str | None:
    return looked.parts[lane.pipeline.dataset.name, part].state if looked is not None else None


def staging(lane: Lane, part: str) -> dict[str, Any]:
    path, entry = lane.staging[part], lane.pipeline.staging.get(part)
    if entry is None:
        return {"path": str(path), "digest": "", "state": "absent", "error": "", "at": None}
    native = entry.answer is not None and entry.answer.native
    word = "rejected" if entry.error else "native" if native else "ok"
    if os.path.realpath(path) == os.path.realpath(lane.work.live):  # Path.resolve raises RuntimeError in a symlink loop
        word = "unprotected"
    return {"path": str(path), "digest": entry.digest[:12], "state": word, "error": entry.error, "at": entry.at}


def _live(lane: Lane) -> str:
    if files.signature(lane.work.live) == (0, 0, 0):
        return "absent"
    return "equal" if lane.pipeline.state.published and lane.work.file_right() else "differs"


def _memory(found: Difference | None) -> str:
    return "unknown" if found is None else "differs" if found else "equal"


def _draining(target: Release | None) -> list[str]:
    if target is None:
        return []
    keys = target.disabled.union(record.key for record in target.records if record.use is Use.KEPT)
    return [text(key) for key in sorted(keys, key=str)[:SHOWN]]


def _next(pipeline: Pipeline, found: Difference | None) -> str:
    """The command that an operator would type now, or ""."""
    if pipeline.pinned:
        return "consul-kam approve   (ends the pin; newer releases wait)"
    if pipeline.paused:
        return "consul-kam resume"
    if pipeline.last is not None and (pipeline.last.held or pipeline.last.named):
        return "consul-kam approve   (lets the held records go)"
    if any(entry.error for entry in pipeline.staging.values()):
        return f"consul-kam check {pipeline.dataset.name} STAGING_FILE"
    degraded = pipeline.state.phase is Phase.DEGRADED
    return "consul-kam diff" if degraded or (found and pipeline.observe) else ""
