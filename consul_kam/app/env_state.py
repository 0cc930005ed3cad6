"""What is in force of the environment, what a start takes of it, and what `status` shows: no secret's value."""

from collections.abc import Sequence
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


def told(specs: Sequence[Spec], env: Env) -> dict[str, Any]:
    """Each variable's value, source, and what becomes of a change."""
    return {
        name: {"value": shown(specs, name, value.text), "source": value.source, "change": policy(specs, name)}
        for name, value in env.values.items()
    }
