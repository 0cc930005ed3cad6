"""The probes, found by file name: each module beside this one holds one PROBE."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from consul_kam.core.health import Probe


@cache
def probes() -> dict[str, Probe]:
    """All probes by name."""
    return {module.name: probe(module.name) for module in iter_modules(__path__)}


@cache
def probe(name: str) -> Probe:
    """One probe, by name; imports no other. Raises ModuleNotFoundError for an unknown one."""
    found = import_module(f"{__name__}.{name}").PROBE
    assert isinstance(found, Probe), f"{name}.py holds no Probe"
    assert found.name == name, f"{name}.py holds the probe {found.name}"
    return found
