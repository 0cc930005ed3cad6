"""Two records of one key: which one stays."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from consul_kam.core.records import Answer, Key, Problem, Record, Release, Source, Use

_NOWHERE = Source()
_RANK = {Use.IN: 0, Use.KEPT: 1, Use.DRAINING: 2, Use.DISABLED: 3, Use.OUT: 4}


class _Placed(NamedTuple):
    record: Record
    file: str
    line: int


def one_per_key(answers: Sequence[Answer], last: Release | None = None) -> tuple[Sequence[Record], list[Problem]]:
    """Leave one record per key, in the order given, and name the others.

    The rule: one that is out gives way to any other; then the one that the `last` release has stays, so that nobody
    can take over or undo a record by registering its address once more; then the better use (in, draining, disabled),
    the lowest (service, id, node), the first. One that is out goes without a word: it is not wanted anyway. So does one
    of a service that says the very same as another service, as when two routers on one address stand for one domain.
    """
    records = [record for answer in answers for record in answer.records]
    if len({record.key for record in records}) == len(records):
        return records, []
    placed = [place for answer in answers for place in _places(answer)]
    same: dict[Key, list[int]] = {}
    for index, place in enumerate(placed):
        same.setdefault(place.record.key, []).append(index)
    twins = {key for key, indexes in same.items() if len(indexes) > 1}
    before = {record.key: record for record in last.records if record.key in twins} if last is not None else {}
    kept, problems = [], []
    for key, indexes in same.items():
        best, *others = sorted(indexes, key=lambda index: _rank(placed[index].record, before.get(key)))
        kept.append(best)
        problems += [_problem(placed[i], placed[best]) for i in others if _tells(placed[i].record, placed[best].record)]
    return [placed[index].record for index in sorted(kept)], sorted(problems, key=lambda p: (p.file, p.line))


def without_twins(answer: Answer) -> Answer:
    """One file by itself, one record a key; the others are among its problems, in the order of lines."""
    kept, twins = one_per_key([answer])
    problems = sorted((*answer.problems, *twins), key=lambda problem: problem.line)
    return replace(answer, records=tuple(kept), problems=tuple(problems), lines=())


def _places(answer: Answer) -> list[_Placed]:
    lines = answer.lines or (0,) * len(answer.records)
    return [_Placed(record, answer.file, line) for record, line in zip(answer.records, lines, strict=True)]


def _rank(record: Record, before: Record | None) -> tuple[bool, bool, int, str, str, str]:
    source = record.source
    newcomer = before is None or not _same(record, before)
    return record.use is Use.OUT, newcomer, _RANK[record.use], source.service, source.id, source.node


def _tells(twin: Record, stays: Record) -> bool:
    """Whether it is worth a word. A native list names no service: Kamailio would load its line twice."""
    alike = (twin, twin.share) == (stays, stays.share)
    return twin.use is not Use.OUT and not (alike and twin.source.id and stays.source.id)


def _same(record: Record, before: Record) -> bool:
    """By their sources; a stored release keeps none, so then by the line, which mostly holds the service's ID."""
    mine, its = record.source, before.source
    if not its.id:
        return record.line == before.line
    return (mine.service, mine.id, mine.node, mine.dc) == (its.service, its.id, its.node, its.dc)


def _problem(twin: _Placed, stays: _Placed) -> Problem:
    record = twin.record
    name = " ".join(map(str, record.key))
    where = f" in line {stays.line}" if stays.line else ""
    if twin.file != stays.file and stays.file:
        where = f" in {stays.file}:{stays.line}"
    who = f" ({stays.record.source})" if stays.record.source != _NOWHERE else ""
    reason = f"{name} stands already{where}{who}, allowed: once"
    source = record.source if record.source != _NOWHERE else None
    return Problem(twin.file or name, twin.line, 1 if twin.line else 0, reason, source, record.group, record.key)
