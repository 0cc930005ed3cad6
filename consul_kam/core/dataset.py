"""What a dataset is: one kind of list that Kamailio holds. Each file in consul_kam/datasets/ makes one of these.

Everything in it is data or a pure function. The engine knows nothing of any particular list.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from consul_kam.core.grammar import Choice, Number, Text
from consul_kam.core.ports import Value
from consul_kam.core.records import Answer, Key, Memory, Problem, Record


@dataclass(frozen=True, slots=True)
class Ask:
    """One RPC of the read-back. A fault in `empty` (code, text) means "holds nothing", not "failed"."""

    method: str
    params: tuple[str | int, ...] = ()
    empty: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """How long Kamailio refuses a reload after the last one.

    `seconds`: the longest that is usual, whole seconds of the wall clock. `faults`: texts (lower case, as found in the
    fault's reason) that mean "too soon". `attempts_count`: a refused attempt starts the window anew: waste none.
    `longer`: what else may keep it shut than reloads of others, for `status`.
    """

    seconds: float = 0.0
    faults: tuple[str, ...] = ()
    attempts_count: bool = False
    longer: str = "reload_delta is longer"


@dataclass(frozen=True, slots=True)
class Gap:
    """The least time between two writes that is safe for Kamailio itself: `base` s + `per_record` s a record."""

    base: float = 0.0
    per_record: float = 0.0

    def seconds(self, records: int) -> float:
        """Seconds to keep after a write of `records` records."""
        return self.base + self.per_record * records


@dataclass(frozen=True, slots=True)
class States:
    """How a state that changed between the reading and the reload is noticed and put back [findings.md, race].

    `ask`: the shortest RPC that shows keys and states; it leaves together with the reload. `decode`: its reply ->
    memory, of which only keys and states are used; raises RpcMalformed. `put_back`: gives one record this state.
    `less`: whether this state means less for this record when it was loaded than when it was set in memory; then it is
    put back although it rode.
    """

    ask: Ask
    decode: Callable[[tuple[Value, ...]], Memory]
    put_back: Callable[[Key, str], Ask]
    less: Callable[[Record, str], bool] = lambda record, state: False


@dataclass(frozen=True, slots=True)
class ByKey:
    """How Kamailio changes one record alone, at once and without touching the others (no window, no gap).

    `put`: sets a record, whether its key is there or not. `drop`: takes a key away. Each may come twice.
    """

    put: Callable[[Record], Ask]
    drop: Callable[[Key], Ask]


class Notation(Protocol):
    """Kamailio's own format of a file: the words notation, or a db_text table."""

    def write(self, lines: Sequence[str]) -> bytes:
        """The whole file for these canonical lines."""

    def companion(self, existing: bytes | None) -> tuple[str, bytes] | None:
        """A second file (name, content) that has to stand beside the live file, given what stands there; or None."""

    def needs(self) -> Mapping[str, bytes]:
        """Further files beside it that have to be there: name -> content to make it with where it is missing."""


@dataclass(frozen=True, slots=True)
class SetKey:
    """One key that a dataset's sets have in consul-kam.toml beside the common ones (`Set` in settings/lists.py).

    `grammar`: what its value may be, by name, or `bool`. `default` None: where the key is left out something is worked
    out from Consul, and `otherwise` says what. The template gets every key of a set, as a member of JSON's types.
    """

    name: str
    grammar: Number | Choice | Text | type[bool]
    default: int | str | bool | None
    doc: str
    otherwise: str = ""


Parse = Callable[[str, bytes], Answer]
"""(file name for messages, bytes) -> Answer. Raises ListError where the file as a whole cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """See docs/add-a-dataset.md for a worked example."""

    name: str
    file_doc: str
    """What its live file is, after "`file` is": for the reference."""
    instance: "Callable[[str], Dataset] | None" = None
    """Where Kamailio may hold several such lists: its NAME -> the dataset KIND:NAME. Raises BadValue for no name."""
    usual_file: str = ""
    """The live file where none is configured; "" for a dataset that is off until it is given one."""
    set_doc: str = "One source of records: a service, static entries, a KV prefix, or any of them together."
    set_keys: tuple[SetKey, ...] = ()
    first_set: Mapping[str, object] | None = None
    """The one set of a dataset that is given none; None: it has to be given one."""
    notation: Notation
    parse_staging: Parse
    """JSON Lines as our templates write them."""
    parse_native: Parse
    """Kamailio's own format, and our own live files and releases."""
    line: Callable[[Record, str, bool, bool], str]
    """(record, state to carry or "", disabled, whether that disabling is ours) -> its line in the live file."""
    ours: Callable[[bytes], frozenset[Key]]
    """Which keys the live file says were disabled by us."""
    in_file_order: Callable[[Sequence[Record]], Sequence[Record]]
    """Records in wanted memory order -> the order to write them in, so that Kamailio ends with the wanted one."""
    reload: Ask
    readback: tuple[Ask, ...]
    decode: Callable[[Sequence[tuple[Value, ...]]], Memory]
    """Replies of `readback`, one each, in order (() for a fault that means empty) -> memory. Raises RpcMalformed."""
    window: Window = Window()
    gap: Gap = Gap()
    ordered: bool = False
    """Whether the order within a group matters and is compared."""
    settled: Callable[[Sequence[Record]], tuple[Sequence[Record], tuple[Problem, ...]]] = lambda r: (r, ())
    """What can only be said of all records together (weights that sum up to 100)."""
    inactivate: Callable[[Key], Ask] | None = None
    """The RPC that makes one record inactive until it answers a probe, where there is one (no reload)."""
    active: Callable[[str], bool] = lambda state: True
    """Whether a memory state means "gets calls now"."""
    carry: Callable[[str, bool], str] | None = None
    """(memory state, whether our disabling ends) -> the state to put into `line`, "" for none. None: nothing rides."""
    by_key: ByKey | None = None
    """Where it can be changed key by key; `reload` then serves boot, drift and what a change left undone."""
    states: States | None = None
    """Where states ride (`carry`) and others may change them in the meantime."""
    as_disabled: Callable[[Record], Record] | None = None
    """The record as it is while disabled, where that is a value of its own (rtpengine: weight 0), not a state."""
    host: Callable[[Key], str] = lambda key: ""
    """The host that a record is about: an address (IPv6 with or without brackets), a network as ADDRESS/BITS or a name;
    "" where it is about none. By it the records of two lists are known to belong together (core/order.py)."""
    unverifiable: Mapping[str, str] | None = None
    """What Kamailio never shows, and why: name -> reason."""


def same_place(records: Sequence[Record]) -> Sequence[Record]:
    """The file order of a list that Kamailio keeps as it is."""
    return records


def file_name(dataset: str) -> str:
    """A dataset's name in file names: "htable:carriers" -> "htable-carriers", because ":" parts paths in places."""
    return dataset.replace(":", "-")


def dataset_of(file: str) -> str:
    """The dataset that such a name belongs to."""
    return file.replace("-", ":", 1)
