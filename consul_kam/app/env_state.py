"""What is in force of the environment, what a start takes of it, and what `status` shows: no secret's value."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consul_kam.app.env_secrets import Noted
from consul_kam.core.env import Env, policy, shown
from consul_kam.core.env_known import Known
from consul_kam.core.env_spec import Spec


@dataclass(frozen=True, slots=True)
class Now:
    """What is in force. `known`: as on disk, or as it would be."""

    env: Env = field(default_factory=Env)
    known: Known = field(default_factory=Known)
    noted: Noted = field(default_factory=Noted)
    decided: bool = False


@dataclass(frozen=True, slots=True)
class Start:
    """`command`: with each `${NAME}` replaced. `texts`: NAME -> value, for the program's environment."""

    command: list[str]
    texts: dict[str, str]
    digest: str


Left = Callable[[str], float]
"""Name of a secret -> seconds that what it was before is still good; inf: without end."""


def left(specs: Sequence[Spec], env: Env, waiting: Sequence[str] | None, before: Left) -> dict[str, float]:
    """Of each variable that is Vault's, has a value, and waits for a restart."""
    names = {name for name in waiting or () if name in env.values}
    return {spec.name: before(spec.origin[0]) for spec in specs if spec.leased and spec.name in names}


def ended(left: Mapping[str, float]) -> list[str]:
    """Who has to be told that it is too late."""
    what = "Kamailio still uses what it was before; its lease has ended: consul-kam restart --rolling"
    return [f"{name}: {what}" for name, seconds in left.items() if not seconds]


def within(left: Mapping[str, float]) -> float | None:
    """Seconds in which Kamailio has to be restarted; None: nothing presses."""
    least = min(left.values(), default=math.inf)
    return None if least == math.inf else round(least, 3)


def told(specs: Sequence[Spec], env: Env) -> dict[str, Any]:
    """Each variable's value, source, and what becomes of a change."""
    return {
        name: {"value": shown(specs, name, value.text), "source": value.source, "change": policy(specs, name)}
        for name, value in env.values.items()
    }
