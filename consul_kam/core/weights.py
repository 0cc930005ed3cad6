"""Weights of Consul (1 to 65535) as Kamailio's algorithms take them."""

from collections.abc import Callable, Sequence

from consul_kam.core.records import Problem, Record


def relative(weights: Sequence[int]) -> list[int]:
    """For algorithm 11: 1 to 100 each; as they are while they fit, else scaled so that the largest is 100."""
    largest = max(weights, default=0)
    if largest <= 100:
        return list(weights)
    return [max(1, (200 * weight + largest) // (2 * largest)) for weight in weights]


def percent(weights: Sequence[int]) -> list[int]:
    """For algorithm 9: whole percents that sum up to exactly 100, by largest remainder, the first first.

    Each gets at least 1 while there are at most 100; of more, those beyond get 0.
    """
    total, count = sum(weights), len(weights)
    if not count:
        return []
    least = 1 if count <= 100 else 0
    shares = [max(least, 100 * weight // total) for weight in weights]
    by_remainder = sorted(range(count), key=lambda at: (-(100 * weights[at] % total), at))
    for step in range(max(0, 100 - sum(shares))):
        shares[by_remainder[step % count]] += 1
    for _ in range(max(0, sum(shares) - 100)):
        shares[max(range(count), key=lambda at: (shares[at], at))] -= 1
    return shares


class Settled:
    """Fits the shares of the records to each other, group by group; `reweigh` gives a record another weight.

    A record that needs no other weight than Consul's stays the same object, one that needs the same as last time gets
    the same object as last time.
    """

    def __init__(self, reweigh: Callable[[Record, str, int], Record]) -> None:
        self._reweigh = reweigh
        self._known: dict[int, tuple[Record, int, Record]] = {}

    def __call__(self, records: Sequence[Record]) -> tuple[Sequence[Record], tuple[Problem, ...]]:
        if not any(share and (share[1] > 100 or share[0] != "rweight") for share in [r.share for r in records]):
            return records, ()  # the usual case, at once
        groups: dict[tuple[str, str], list[int]] = {}
        for place, record in enumerate(records):
            if record.share is not None:
                groups.setdefault((record.group, record.share[0]), []).append(place)
        known, self._known = self._known, {}
        changed: dict[int, Record] = {}
        for (_, name), places in groups.items():
            raw = [share[1] for place in places if (share := records[place].share)]
            if name == "rweight" and max(raw) <= 100:
                continue
            places.sort(key=lambda place: records[place].sort)
            raw = [share[1] for place in places if (share := records[place].share)]
            fit = relative(raw) if name == "rweight" else percent(raw)
            for place, value, before in zip(places, fit, raw, strict=True):
                if value != before:
                    changed[place] = self._with(records[place], name, value, known)
        if not changed:
            return records, ()
        return [changed.get(place, record) for place, record in enumerate(records)], ()

    def _with(self, record: Record, name: str, value: int, known: dict[int, tuple[Record, int, Record]]) -> Record:
        hit = known.get(id(record))
        if hit is None or hit[0] is not record or hit[1] != value:
            hit = (record, value, self._reweigh(record, name, value))
        self._known[id(record)] = hit
        return hit[2]
