"""What the oracle has to know of a dataset: one small file for each in tools/oracle/datasets/."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from random import Random

from consul_kam.core.dataset import Dataset
from tests.lab.rpc import Rpc
from tools.oracle import datasets as package

Entry = tuple[object, ...]
"""One entry of a list with all that Kamailio shows of it, as far as the list says it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to write a list: a row of ../shared/kamailio-facts.md, or of what is harmless.

    `name`: what the list holds, in words for operators. `fine`: lists that are good; the accepted half is made of
    them. `steady`: Kamailio makes the
    same of a list each time, no address or left-over of its memory.
    """

    name: str
    make: Callable[[Random], bytes]
    fine: bool = False
    steady: bool = True


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How one dataset's lists are made, loaded and read back.

    `read` and `memory` share no code with consul_kam: the first is what a person reads in the list, the second what
    Kamailio shows. Both give entries in the order that counts, or sorted where none does.
    """

    dataset: Dataset
    file: str
    """The list, below the directory of Kamailio's live files."""
    cfg: str
    """Its lines of kamailio.cfg; {live} is that directory."""
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Other files there."""
    empty: bytes
    """What Kamailio starts with."""
    rows: Sequence[Row]
    read: Callable[[bytes], list[Entry]]
    memory: Callable[[Rpc], list[Entry]]
    reload: str = ""
    """The RPC; "" where its window is long: then each list has a Kamailio started for it."""
    argument: str = ""
    """Of that RPC, where it takes one."""
    machine: Callable[[Entry], str] = lambda entry: ""
    """Why *this* Kamailio cannot load the entry though the list is good (a name, a socket), or ""."""


def adapters() -> dict[str, Adapter]:
    """All of them by the name of their dataset."""
    return dict(_found())


def _found() -> Iterator[tuple[str, Adapter]]:
    for module in iter_modules(package.__path__):
        adapter = import_module(f"{package.__name__}.{module.name}").ADAPTER
        assert isinstance(adapter, Adapter), f"{module.name}.py holds no Adapter"
        yield module.name, adapter
