"""The datasets, found by file name: each module beside this one holds one DATASET."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from consul_kam.core.dataset import Dataset
from consul_kam.core.grammar import BadValue


@cache
def datasets() -> dict[str, Dataset]:
    """All datasets by name."""
    return {module.name: dataset(module.name) for module in iter_modules(__path__)}


@cache
def dataset(name: str) -> Dataset:
    """One dataset, by KIND or KIND:NAME; imports no other.

    Raises ModuleNotFoundError for an unknown kind, BadValue for a name that it does not take.
    """
    kind, colon, own = name.partition(":")
    found = import_module(f"{__name__}.{kind}").DATASET
    assert isinstance(found, Dataset), f"{kind}.py holds no Dataset"
    if colon:
        if found.instance is None or not own:
            raise BadValue("dataset", name, f"{kind}, or {kind}:NAME" if found.instance is not None else kind)
        found = found.instance(own)
    assert found.name == name, f"{name}.py holds the dataset {found.name}"
    return found
