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
    what we last started Kamailio with, or "". `key`: of core.env.noted, or "" where nothing is leased.
    """

    values: Mapping[str, Value] = field(default_factory=dict)
    at: float = 0.0
    versions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    started: str = ""
    key: str = ""


def taken(known: Known, env: Env, digest: str, at: float, noted: Mapping[str, str] | None = None) -> Known:
    """An environment that nothing is missing in becomes the last good one. `noted`: its texts, as core.env.noted."""
    return replace(used(known, env, digest, noted), values=env.values, at=at)


def used(known: Known, env: Env, digest: str, noted: Mapping[str, str] | None = None) -> Known:
    """Kamailio may be started with it. What it was started with is never forgotten for newer ones."""
    others = {key: texts for key, texts in known.versions.items() if key != digest}
    while len(others) >= VERSIONS:
        others.pop(next(key for key in others if key != known.started))
    return replace(known, versions={**others, digest: dict(env.texts if noted is None else noted)})


def dump(known: Known) -> dict[str, Any]:
    """In JSON's types. What is leased is left out: it would outlive its lease, and be on a disk."""
    lasting = {name: value for name, value in known.values.items() if not value.leased}
    return {
        "values": {name: {"text": value.text, "source": value.source} for name, value in lasting.items()},
        "at": known.at,
        "versions": [{"digest": key, "texts": dict(texts)} for key, texts in known.versions.items()],
        "started": known.started,
        "key": known.key,
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
        str(raw.get("key", "")),
    )
