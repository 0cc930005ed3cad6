"""The guards' memory as JSON, so that it outlives a restart of the engine."""

from typing import Any

from consul_kam.core.guards import Group, Hold, Past
from consul_kam.core.records import Key


def dump(past: Past) -> dict[str, Any]:
    """A JSON-able form. Keys are tuples, which JSON has not, so mappings by key become lists of pairs."""
    return {
        "groups": {n: {"samples": g.samples, "below": g.below} for n, g in past.groups.items()},
        "joined": list(past.joined.items()),
        "live": list(past.live.items()),
        "leaves": list(past.leaves.items()),
        "holds": [(key, (hold.left, hold.why, hold.until)) for key, hold in past.holds.items()],
        "granted": sorted(past.granted, key=str),
    }


def load(data: dict[str, Any]) -> Past:
    """The reverse of `dump`. Raises KeyError, TypeError or ValueError for anything else."""
    groups = {
        name: Group(tuple((_number(t), int(_number(n))) for t, n in group["samples"]), _number(group["below"]))
        for name, group in dict(data["groups"]).items()
    }
    return Past(
        groups=groups,
        joined={_key(key): _number(at) for key, at in data["joined"]},
        live={_key(key): str(group) for key, group in data["live"]},
        leaves={_key(key): tuple(_number(t) for t in times) for key, times in data["leaves"]},
        holds={_key(k): _hold(*hold) for k, hold in data["holds"]},
        granted=frozenset(_key(key) for key in data["granted"]),
    )


def _hold(left: object, why: object, until: object) -> Hold:
    return Hold(_number(left), str(why), None if until is None else _number(until))


def _number(value: object) -> float:
    """JSON as Python reads it has NaN, infinities and integers beyond any float."""
    if isinstance(value, int | float) and abs(value) < 1e15:
        return float(value)
    raise ValueError(f"no time and no count: {value!r:.50}")


def _key(parts: list[object]) -> Key:
    key = tuple(part for part in parts if isinstance(part, str | int))
    if not key or len(key) < len(parts):
        raise ValueError(f"no key: {parts!r:.50}")
    return key
