"""The guards' memory as JSON, so that it outlives a restart of the engine."""

from typing import Any

from consul_kam.core.guards import Group, Hold, Past
from consul_kam.core.records import Key


def dump(past: Past) -> dict[str, Any]:
    """A JSON-able form. Keys are tuples, which JSON has not, so mappings by key become lists of pairs."""
    return {
        "groups": {n: {"samples": g.samples, "below": g.below, "filled": g.filled} for n, g in past.groups.items()},
        "joined": list(past.joined.items()),
        "live": list(past.live.items()),
        "leaves": list(past.leaves.items()),
        "holds": [(key, (hold.left, hold.why, hold.until)) for key, hold in past.holds.items()],
        "granted": sorted(past.granted, key=str),
    }


def load(data: dict[str, Any]) -> Past:
    """The reverse of `dump`. Raises KeyError, TypeError or ValueError for anything else."""
    groups = {
        name: Group(
            tuple((float(t), int(n)) for t, n in group["samples"]), float(group["below"]), bool(group["filled"])
        )
        for name, group in data["groups"].items()
    }
    return Past(
        groups=groups,
        joined={_key(key): float(at) for key, at in data["joined"]},
        live={_key(key): str(group) for key, group in data["live"]},
        leaves={_key(key): tuple(float(t) for t in times) for key, times in data["leaves"]},
        holds={_key(k): Hold(float(left), str(why), until) for k, (left, why, until) in data["holds"]},
        granted=frozenset(_key(key) for key in data["granted"]),
    )


def _key(parts: list[str | int]) -> Key:
    return tuple(parts)
