"""The datasets, found by file name: each module beside this one holds one DATASET."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from consul_kam.core.dataset import Dataset


@cache
def datasets() -> dict[str, Dataset]:
    """All datasets by name."""
    return {module.name: dataset(module.name) for module in iter_modules(__path__)}


def dataset(name: str) -> Dataset:
    """One dataset; imports no other. Raises ModuleNotFoundError for an unknown name."""
    found = import_module(f"{__name__}.{name}").DATASET
    assert isinstance(found, Dataset), f"{name}.py holds no Dataset"
    assert found.name == name, f"{name}.py holds the dataset {found.name}"
    return found
