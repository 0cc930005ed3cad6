"""What a stored release says beside its list, and how it becomes one to be wanted again."""

from dataclasses import replace
from typing import Any

from consul_kam.adapters.releases import Stored
from consul_kam.core.dataset import Dataset
from consul_kam.core.plan import make_release
from consul_kam.core.records import Key, Release, Use
from consul_kam.errors import ListError

DAMAGED = (ListError, KeyError, TypeError, ValueError)
"""What a stored release that somebody touched may raise."""


def about(release: Release, ours: frozenset[Key], wall: float) -> dict[str, Any]:
    """What a stored release says beside its list. Keys as lists, for JSON."""
    return {
        "digest": release.digest,
        "at": wall,
        "records": len(release.records),
        "disabled": [list(key) for key in release.disabled],
        "ours": [list(key) for key in ours],
        "held": [[list(key), why] for key, why in release.held.items()],
        "refused": [list(key) for key in release.refused],
        "dropped": [str(problem) for problem in release.dropped[:100]],
        "parts": [[list(r.key), r.part] for r in release.records if r.part],
        "draining": [list(r.key) for r in release.records if r.use is Use.DRAINING],
        "kept": [list(r.key) for r in release.records if r.use is Use.KEPT],
    }


def restored(dataset: Dataset, stored: Stored) -> Release:
    """A stored release as one to be wanted. Raises one of DAMAGED."""
    answer, told = dataset.parse_native(f"a release of {dataset.name}", stored.content), stored.about
    parts = {tuple(key): str(part) for key, part in told.get("parts", [])}
    uses = {tuple(key): Use.DISABLED for key in told.get("disabled", [])}
    uses.update({tuple(key): Use.DRAINING for key in told.get("draining", [])})
    uses.update({tuple(key): Use.KEPT for key in told.get("kept", [])})
    return make_release([replace(r, part=parts.get(r.key, ""), use=uses.get(r.key, Use.IN)) for r in answer.records])
