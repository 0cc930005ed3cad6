"""The keys of `[datasets.NAME]` and of their sets. Those that only one dataset's sets have are in its own file
(`Dataset.set_keys`); `set_table` makes a table of them.
"""

from functools import cache
from typing import Annotated, Any, Literal

from consul_kam.core.dataset import SetKey
from consul_kam.settings.schema import (
    PREFIX,
    SERVICE,
    TAG,
    TEXT,
    Count,
    Deadline,
    Keys,
    Meta,
    Mode,
    Name,
    Path,
    Seconds,
    doc,
    table,
)


class Set(Keys, frozen=True):
    """One source of records: a service, static entries, a KV prefix, or any of them together."""

    service: Annotated[str, Meta(pattern=SERVICE), doc("Service in Consul.")] = ""
    tag: Annotated[str, Meta(pattern=TAG), doc("Only instances with this tag.")] = ""
    datacenter: Annotated[Name, doc("Data centre to ask; its records get a staging file of their own.")] = ""
    static: Annotated[
        list[Annotated[str, Meta(pattern=TEXT, min_length=1)]],
        doc("Entries that are always there, in Kamailio's words."),
    ] = []
    kv: Annotated[str, Meta(pattern=PREFIX), doc("Prefix in Consul's KV; each key below holds one entry.")] = ""
    warning: Annotated[Literal["in", "out", "disable"], doc("What becomes of an instance with a warning check.")] = "in"
    critical: Annotated[Literal["out", "disable", "in"], doc("What becomes of an instance with a critical check.")] = (
        "out"
    )
    address: Annotated[
        Literal["", "lan", "wan"], doc("Which tagged address to use.", "the service's, else its node's")
    ] = ""


@cache
def set_table(name: str, text: str, own: tuple[SetKey, ...]) -> type[Set]:
    """The table of a dataset's sets: the keys of `Set` and its own. `text` is its docstring."""
    made = table(f"{name}_set", text, Set, own)
    assert issubclass(made, Set)
    return made


class Dataset(Keys, frozen=True):
    """One kind of list."""

    file: Annotated[
        Path,
        doc(
            "The live file, which Kamailio reads. Enables the dataset; what it is, each dataset says below.",
            "the dataset's own, where it says one below; else none: not enabled",
        ),
    ] = ""
    staging: Annotated[Path, doc("What consul-template writes.", "state_dir/staging/DATASET")] = ""
    mode: Annotated[Mode | None, doc("`observe` writes nothing and says what it would do.", "the top-level mode")] = (
        None
    )
    min_records: Annotated[
        Count, doc("Removals are held where fewer live records than this would remain in a set.")
    ] = 1
    max_records: Annotated[Count, doc("Beyond this many, new records are dropped and known ones stay.")] = 10_000
    max_shrink: Annotated[
        float,
        Meta(ge=0, le=1),
        doc("Removals are held where a set falls below this part of its peak of the last 10 min."),
    ] = 0.5
    hold_for: Annotated[Seconds, doc("How long a removal is held at most, s.")] = 60.0
    min_callable: Annotated[Count, doc("The last so many records of a set are never disabled for draining.")] = 1
    on_bad_record: Annotated[
        Literal["drop", "reject"], doc("`drop` leaves a bad record out, alone; `reject` refuses the whole release.")
    ] = "drop"
    resolve_deadline: Annotated[Deadline, doc("Longest wait for the host names of a release to resolve, s.")] = 2.0
    sets: Annotated[
        Annotated[list[dict[str, Any]], Meta(min_length=1)] | None,
        doc("Where its records come from.", "one set, see below"),
    ] = None
