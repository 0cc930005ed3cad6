"""From what the staging files say to what memory shall hold: twins, limits, names, refused records, guards, order.

Pure: every staging file's newest Answer goes in, a Release (or the reason why there is none) comes out.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter

from consul_kam.core import guards
from consul_kam.core.dataset import Dataset
from consul_kam.core.guards import Decision, Limits, Past
from consul_kam.core.reach import left_out
from consul_kam.core.records import Answer, Host, Key, Problem, Record, Release, Use
from consul_kam.core.twins import one_per_key


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's settings of one dataset."""

    limits: Limits = field(default_factory=Limits)
    max_records: int = 10_000
    reject_bad_records: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside Consul's answer.

    `refused`: records that Kamailio did not load, as they were then. `lost`: hosts whose records are left out because
    they cannot be loaded now.
    """

    last: Release | None = None
    past: Past = field(default_factory=Past)
    refused: Mapping[Key, Record] = field(default_factory=dict)
    lost: frozenset[Host] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """`release` is None where the answer was rejected; then `rejected` says why and nothing else changes."""

    release: Release | None
    decision: Decision | None = None
    rejected: str = ""


def plan(
    dataset: Dataset, answers: Mapping[str, Answer], known: Known, policy: Policy, now: float, approved: bool = False
) -> Plan:
    """What memory shall hold by the newest answers. `now`: wall clock, seconds."""
    problems = [problem for answer in answers.values() for problem in answer.problems]
    records, twins = one_per_key(list(answers.values()), known.last)
    problems += twins
    if problems and policy.reject_bad_records:
        return Plan(None, rejected=str(problems[0]))
    records, late = dataset.settled(records)
    problems += late
    records, surplus = _within(records, known.last, policy.max_records)
    problems += surplus
    usable, left_out = _loadable(records, known)
    problems += left_out
    last = _without(known.last, set(known.refused), known.lost)
    decision = guards.decide(usable, last, known.past, policy.limits, now, approved)
    refused = tuple(r.key for r in records if known.refused.get(r.key) == r) if known.refused else ()
    return Plan(_release(dataset, usable, decision, refused, tuple(problems)), decision)


def _within(records: Sequence[Record], last: Release | None, most: int) -> tuple[Sequence[Record], list[Problem]]:
    """Beyond `most` records new ones are dropped, known ones stay."""
    if len(records) <= most:
        return records, []
    wanted = [record for record in records if record.use is not Use.OUT]
    if len(wanted) <= most:
        return records, []
    known = {record.key for record in last.records} if last is not None else set()
    order = sorted(wanted, key=lambda record: (record.key not in known, record.sort))
    surplus = {record.key for record in order[most:]}
    reason = f"there are {len(wanted)} records, max_records is {most}: new ones are left out"
    dropped = [_problem(record, reason) for record in order[most:]]
    return [record for record in records if record.key not in surplus], dropped


def _loadable(records: Sequence[Record], known: Known) -> tuple[Sequence[Record], list[Problem]]:
    if not known.refused and not known.lost:
        return records, []
    usable, problems = [], []
    for record in records:
        if record.host is not None and record.host in known.lost:
            problems.append(_problem(record, left_out(record.host)))
        elif known.refused.get(record.key) != record:
            usable.append(record)
    return usable, problems


def _problem(record: Record, reason: str) -> Problem:
    return Problem(" ".join(map(str, record.key)), 0, 0, reason, record.source, record.group, record.key)


def _without(last: Release | None, keys: set[Key], hosts: frozenset[Host]) -> Release | None:
    """The last release without what Kamailio does not load: nothing of that can be held."""
    if last is None or not (keys or hosts):
        return last
    kept = tuple(r for r in last.records if r.key not in keys and r.host not in hosts)
    return replace(last, records=kept)


def _release(
    dataset: Dataset,
    usable: Sequence[Record],
    decision: Decision,
    refused: tuple[Key, ...],
    dropped: tuple[Problem, ...],
) -> Release:
    held = {record.key: record for record in decision.kept}
    wanted = [record for record in usable if record.use is not Use.OUT and record.key not in held]
    records = [r if r.use in (Use.IN, Use.KEPT) else _as_used(dataset, r, decision) for r in wanted]
    return make_release(
        [*records, *held.values()],
        held={key: hold.why for key, hold in decision.holds.items()},
        refused=refused,
        dropped=dropped,
        named=decision.spared,
    )


def _as_used(dataset: Dataset, record: Record, decision: Decision) -> Record:
    if record.key in decision.spared:
        return replace(record, use=Use.IN)
    return dataset.as_disabled(record) if dataset.as_disabled is not None else record


def make_release(
    records: Sequence[Record],
    held: Mapping[Key, str] | None = None,
    refused: tuple[Key, ...] = (),
    dropped: tuple[Problem, ...] = (),
    named: Mapping[Key, str] | None = None,
) -> Release:
    """A release of these records, in the wanted order, with its digest (SHA-256 of lines and disabled keys, hex)."""
    ordered = tuple(sorted(records, key=_sort))
    disabled = frozenset(record.key for record in ordered if record.use in (Use.DRAINING, Use.DISABLED))
    text = "\n".join(map(_text, ordered))
    marks = "\n".join(sorted(str(key) for key in disabled))
    digest = hashlib.sha256(f"{text}\0{marks}".encode("utf-8", "surrogateescape")).hexdigest()
    return Release(digest, ordered, disabled, held or {}, refused, dropped, named or {})


_sort: Callable[[Record], tuple[str | int, ...]] = attrgetter("sort")


_text: Callable[[Record], str] = attrgetter("line")


def live_file(dataset: Dataset, release: Release, states: Mapping[Key, str], ours: frozenset[Key]) -> bytes:
    """The live file of a release; with no `states` it is the canonical one."""
    return dataset.notation.write(_lines(dataset, release, states, ours))


def _lines(dataset: Dataset, release: Release, states: Mapping[Key, str], ours: frozenset[Key]) -> list[str]:
    if not states and not release.disabled and not ours:
        return [record.line for record in dataset.in_file_order(release.records)]
    return [
        dataset.line(record, states.get(record.key, ""), record.key in release.disabled, record.key in ours)
        for record in dataset.in_file_order(release.records)
    ]
