"""What outlives us of the environment: the last good values, and what Kamailio was started with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from consul_kam.core.env import Env, Value

VERSIONS = 8
"""Sets of values that are remembered, so that it can be told what a running Kamailio lacks."""


@dataclass(frozen=True, slots=True)
class Known:
    """`at`: when it was last so, wall clock, s. `versions`: digest -> NAME -> text, newest last. `started`: digest of
    what we last started Kamailio with, or "".
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    at: float = 0.0
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    started: str = ""


def taken(known: Known, env: Env, digest: str, at: float) -> Known:
    """An environment that nothing is missing in becomes the last good one."""
    return replace(used(known, env, digest), values=env.values, at=at)


def used(known: Known, env: Env, digest: str) -> Known:
    """Kamailio may be started with it. What it was started with is never forgotten for newer ones."""
    others = {key: texts for key, texts in known.versions.items() if key != digest}
    while len(others) >= VERSIONS:
        others.pop(next(key for key in others if key != known.started))
    return replace(known, versions={**others, digest: env.texts})


def dump(known: Known) -> dict[str, Any]:
    """In JSON's types."""
    return {
        "values": {name: {"text": value.text, "source": value.source} for name, value in known.values.items()},
        "at": known.at,
        "versions": [{"digest": key, "texts": dict(texts)} for key, texts in known.versions.items()],
        "started": known.started,
    }


def load(raw: Any) -> Known:
    """Raises KeyError, TypeError, ValueError, AttributeError for what `dump` did not make."""
    return Known(
        {str(name): Value(str(value["text"]), str(value["source"])) for name, value in raw["values"].items()},
        float(raw["at"]),
        {
            str(each["digest"]): {str(name): str(text) for name, text in each["texts"].items()}
            for each in raw["versions"]
        },
        str(raw["started"]),
    )
