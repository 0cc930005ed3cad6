"""What a pipeline asks the engine to do, beside the actions of the release machine."""

from collections.abc import Callable
from dataclasses import dataclass

from consul_kam.core.events import Action
from consul_kam.core.records import Host, Key, Memory, Release


@dataclass(frozen=True, slots=True)
class Inactivate:
    """Make held records inactive until they answer a probe (design.md, rule 7)."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Wake:
    """Call `wake` at this time of the wall clock, seconds."""

    at: float


@dataclass(frozen=True, slots=True)
class Resolve:
    """Look these up; answer with `names_resolve`."""

    hosts: tuple[Host, ...]


Doing = Action | Inactivate | Wake | Resolve
Gate = Callable[[Release, Memory | None, float], Release]
"""(what shall be in memory in the end, memory, now) -> what of it may be there now."""
