"""Two records of one key: which one stays."""

from collections.abc import Sequence

from consul_kam.core.records import Key, Problem, Record, Source, Use

_NOWHERE = Source()
_RANK = {Use.IN: 0, Use.DRAINING: 1, Use.DISABLED: 2, Use.OUT: 3}


def one_per_key(
    records: Sequence[Record], file: str = "", lines: Sequence[int] = ()
) -> tuple[Sequence[Record], list[Problem]]:
    """Leave one record per key, in the order given, and name the others.

    The rule: the better use stays (in, draining, disabled, out), then the lowest (service, id, node), then the first.
    One that is out goes without a word: it is not wanted anyway. `lines`: the line of each record in `file`, if known.
    """
    if len({record.key for record in records}) == len(records):
        return records, []
    places: dict[Key, list[int]] = {}
    for place, record in enumerate(records):
        places.setdefault(record.key, []).append(place)
    kept: list[int] = []
    problems: list[Problem] = []
    for same in places.values():
        best, *others = sorted(same, key=lambda place: _rank(records[place], place))
        kept.append(best)
        problems += [
            _problem(records[other], records[best], file, *((lines[other], lines[best]) if lines else (0, 0)))
            for other in others
            if records[other].use is not Use.OUT
        ]
    return [records[place] for place in sorted(kept)], sorted(problems, key=lambda problem: problem.line)


def _rank(record: Record, place: int) -> tuple[int, str, str, str, int]:
    source = record.source
    return _RANK[record.use], source.service, source.id, source.node, place


def _problem(record: Record, stays: Record, file: str, line: int, other: int) -> Problem:
    name = " ".join(map(str, record.key))
    where = (f" in line {other}" if other else "") + (f" ({stays.source})" if stays.source != _NOWHERE else "")
    reason = f"{name} stands already{where}, allowed: once"
    source = record.source if record.source != _NOWHERE else None
    return Problem(file or name, line, 1 if line else 0, reason, source, record.group, record.key)
