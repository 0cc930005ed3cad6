"""The traps that doctor looks for, found by file name: each module beside this one holds one TRAP."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from consul_kam.core.trap import Trap


@cache
def traps() -> dict[str, Trap]:
    """All traps by name."""
    return {module.name: trap(module.name) for module in iter_modules(__path__)}


@cache
def trap(name: str) -> Trap:
    """One trap, by name. Raises ModuleNotFoundError for an unknown one."""
    found = import_module(f"{__name__}.{name}").TRAP
    assert isinstance(found, Trap), f"{name}.py holds no Trap"
    assert found.name == name, f"{name}.py holds the trap {found.name}"
    return found
