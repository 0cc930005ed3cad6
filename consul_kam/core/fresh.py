"""Is staging what Consul says now? Two answers for one staging file, held against each other record by record."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from consul_kam.core.dataset import Dataset
from consul_kam.core.records import Answer, Use
from consul_kam.core.twins import without_twins

SHOWN = 20
"""Records named of each kind; the reason counts all of them."""
EQUAL, DIFFERS, UNKNOWN = "equal", "differs", "unknown"


@dataclass(frozen=True, slots=True)
class Fresh:
    """What is to be said of one staging file, or of all those of a dataset.

    `missing`: records that Consul has and staging has not, `extra`: the other way round; at most SHOWN of each.
    `difference` is a digest of all of them ("" where nothing differs): the same one again, some time later, means that
    consul-template has stalled, and is not merely on its way.
    """

    state: str
    reason: str = ""
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    difference: str = ""


def compare(dataset: Dataset, staged: Answer | None, error: str, consul: Answer) -> Fresh:
    """`staged`: what the staging file says, or None and the reason (`error`) why it says nothing.

    Records count by line, use and source; bad ones by source and reason. Where either is in Kamailio's own format,
    which knows neither, the lines count that Kamailio would load.
    """
    view = _lines if consul.native or (staged is not None and staged.native) else _entries
    mine, its = view(dataset, consul), view(dataset, staged) if staged is not None else Counter[str]()
    missing, extra = mine - its, its - mine
    if staged is not None and not missing and not extra:
        return Fresh(EQUAL)
    counts = [(missing, "that Consul has are not staged"), (extra, "that are staged Consul has not")]
    told = [f"{found.total()} records {what}" for found, what in counts if found]
    reason = "; ".join([*([error] if error else []), *told])
    digest = hashlib.sha256("\n".join([error, *_sorted(missing), "-", *_sorted(extra)]).encode("utf-8", "replace"))
    return Fresh(DIFFERS, reason, _sorted(missing)[:SHOWN], _sorted(extra)[:SHOWN], digest.hexdigest())


def together(parts: Collection[tuple[str, Fresh]]) -> Fresh:
    """The staging files of one dataset, (part, what is said of it) each, as one: what differs wins, then what is
    unknown.
    """
    for state in (DIFFERS, UNKNOWN):
        found = [(part, fresh) for part, fresh in parts if fresh.state == state]
        if found:
            reason = "; ".join((f"data centre {part}: " if part else "") + fresh.reason for part, fresh in found)
            missing, extra = _joined(found, lambda fresh: fresh.missing), _joined(found, lambda fresh: fresh.extra)
            differences = " ".join(fresh.difference for _, fresh in found if fresh.difference)
            return Fresh(state, reason, missing, extra, differences)
    return Fresh(EQUAL)


def _joined(found: Iterable[tuple[str, Fresh]], which: Callable[[Fresh], tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(text for _, fresh in found for text in which(fresh))[:SHOWN]


def _entries(dataset: Dataset, answer: Answer) -> Counter[str]:
    records = (f"{r.line} ({r.source}, {r.source.status}: {r.use.value})" for r in answer.records)
    # Where in the file a bad record stands is no part of it: another one before it moves it.
    return Counter([*records, *(f"{problem.reason} ({problem.source})" for problem in answer.problems)])


def _lines(dataset: Dataset, answer: Answer) -> Counter[str]:
    records, _ = dataset.settled([r for r in without_twins(answer).records if r.use is not Use.OUT])
    return Counter(record.line for record in records)


def _sorted(found: Counter[str]) -> tuple[str, ...]:
    return tuple(sorted(found.elements()))
