"""Order between lists: a peer is trusted before it is routed to, and routed away from before it is distrusted.

`order = ["address", "dispatcher"]` in the configuration: additions flow in that order, removals against it. The staging
files are rendered at slightly different times, and each list goes to memory by itself; `gate` stands before that. It
is a pure function of what every list wants and of what is, or may be, in memory, worked out anew whenever one of these
changes, so nothing is ever lost and nothing can be forgotten:

- a record that is new in a later list is withheld until its counterpart is in the memory of each earlier list;
- a record that leaves an earlier list is kept until no later list can hold a counterpart that nothing else covers;
- additions never wait for removals, so that lists cannot wait for each other in a circle;
- each wait ends after `patience` seconds, whatever has become of the other list.

Counterparts are known by their host (an address, a network or a name in the key), else by the service's instance that
both come from. A record without counterpart waits for nothing.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from math import ceil

from consul_kam.core.dataset import Dataset
from consul_kam.core.plan import make_release
from consul_kam.core.records import Key, Record, Release, Use
from consul_kam.core.state import State

Asked = Collection[tuple[str, str]]
"""(service, part): what an earlier list is made of too, so that it is going to name each instance."""
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Instance = tuple[str, str, str, str]


@dataclass(frozen=True)
class View:
    """One list as `gate` sees it.

    `wanted`: what it shall hold in the end. `known`: the records that memory may hold, by key. `held`: when the guards
    let a held record go (same clock as `now`). `gone`: the records of which Consul says that they are out.
    `max_shrink`: as the guards have it: the part of a set that may be lacking while its newcomers wait.
    """

    dataset: Dataset
    state: State
    wanted: Release | None = None
    known: Mapping[Key, Record] = field(default_factory=dict)
    held: Mapping[Key, float] = field(default_factory=dict)
    gone: Callable[[], Collection[Key]] = tuple
    max_shrink: float = 0.5

    @property
    def name(self) -> str:
        return self.dataset.name

    @cached_property
    def by_key(self) -> Mapping[Key, Record]:
        """Each record as it is wanted, else as it was."""
        return {**self.known, **{record.key: record for record in (self.wanted.records if self.wanted else ())}}


@dataclass(frozen=True, slots=True)
class Wait:
    """`adding`: withheld until `other` has its counterpart; else kept until `other` is rid of it. Times as `now`."""

    other: str
    adding: bool
    since: float
    until: float

    @property
    def why(self) -> str:
        return f"{self.other} does not have it yet" if self.adding else f"{self.other} may still use it"


@dataclass(frozen=True, slots=True)
class Gated:
    """What may be in memory now. `late`: waits that are over without what they waited for: these records go."""

    release: Release
    waits: Mapping[Key, Wait] = field(default_factory=dict)
    late: Mapping[Key, Wait] = field(default_factory=dict)


def gate(
    mine: View,
    earlier: Sequence[tuple[View, Asked]],
    later: Sequence[View],
    before: Gated | None,
    now: float,
    patience: float,
) -> Gated:
    """What of `mine.wanted` may be in memory now. `before`: the last answer, which knows since when something waits."""
    wanted = mine.wanted
    assert wanted is not None
    if mine.state.memory is None:  # nothing can be written before memory was read, and then this is asked again
        return Gated(wanted)
    there = {seen.key for seen in mine.state.memory}
    clock = _Clock(before, now, patience)
    for view, asked in earlier:
        for key in untrusted(mine, _fresh(mine, there), view, asked):
            clock.wait(key, view.name, True)
    leaving = [key for key in there.difference(record.key for record in wanted.records) if key in mine.known]
    for view in later if leaving else ():
        for key, until in _needed(mine, leaving, view).items():
            clock.wait(key, view.name, False, until)
    release = _compose(mine, leaving, clock.waits) if clock.waits else wanted
    late = {key: wait for key, wait in clock.late.items() if key not in clock.waits}
    return Gated(release, clock.waits, late)


class _Clock:
    def __init__(self, before: Gated | None, now: float, patience: float) -> None:
        self._before = {**before.waits, **before.late} if before is not None else {}
        self._now, self._patience = now, patience
        self.waits: dict[Key, Wait] = {}
        self.late: dict[Key, Wait] = {}

    def wait(self, key: Key, other: str, adding: bool, until: float = 0.0) -> None:
        """One record waits for one other list; of several lists the first counts until it is through."""
        last = self._before.get(key)
        since = last.since if last is not None and last.adding == adding else self._now
        wait = Wait(other, adding, since, max(since, until) + self._patience)
        into = self.late if wait.until <= self._now else self.waits
        into.setdefault(key, wait)


def untrusted(mine: View, keys: Iterable[Key], other: View, asked: Asked) -> set[Key]:
    """Those records that `other` is going to have a counterpart of, or wants one of, and that surely has none now."""
    ties = Ties(mine, keys)
    rest = ties.keys - ties.found(other, _surely(other)) if ties.keys else set()
    if not rest:
        return rest
    named = {key for key in rest if (r := mine.by_key.get(key)) and (r.source.service, r.part) in asked}
    wanted = other.wanted.records if other.wanted is not None else ()
    return named | (Ties(mine, rest - named).found(other, (record.key for record in wanted)))


def routed(view: View) -> set[Key]:
    """What may be in memory, and in use: now, or by a write that is under way."""
    state = view.state
    keys = {seen.key for seen in state.memory or () if not seen.disabled}
    releases = (state.target, state.newest, state.lkg if state.memory is None else None)
    return keys.union(*(_in_use(release) for release in releases if release is not None))


def _fresh(mine: View, there: Collection[Key]) -> list[Key]:
    """What would come to be in use."""
    assert mine.wanted is not None
    disabled = mine.state.target.disabled if mine.state.target is not None else ()
    return [r.key for r in mine.wanted.records if r.use is Use.IN and (r.key not in there or r.key in disabled)]


def _surely(view: View) -> set[Key]:
    """What is in memory, and is not about to leave it."""
    keys = {seen.key for seen in view.state.memory or ()}
    for release in (view.state.target, view.state.newest):
        if release is not None:
            keys.intersection_update([record.key for record in release.records])
    return keys


def _in_use(release: Release) -> list[Key]:
    return [record.key for record in release.records if record.key not in release.disabled]


def _needed(mine: View, leaving: Iterable[Key], later: View) -> dict[Key, float]:
    """Those that leave though they are all that covers a record which `later` may hold; and when a guard there lets
    that one go, at the latest.
    """
    ties = Ties(mine, leaving)
    pairs = {key: found for key in routed(later) if (found := ties.of(later, key))}
    if not pairs:
        return {}
    assert mine.wanted is not None
    covered = Ties(later, pairs).found(mine, (record.key for record in mine.wanted.records))
    needed: dict[Key, float] = {}
    for key, found in pairs.items():
        for each in found if key not in covered else ():
            needed[each] = max(needed.get(each, 0.0), later.held.get(key, 0.0))
    return needed


def _compose(mine: View, leaving: Collection[Key], waits: Mapping[Key, Wait]) -> Release:
    """The wanted release without what is withheld, with what is kept."""
    wanted = mine.wanted
    assert wanted is not None
    withheld = [record for record in wanted.records if record.key in waits]
    kept = {key for key in leaving if key in waits}
    records = [record for record in wanted.records if record.key not in waits]
    # One that is there, disabled, and would be enabled stays as it is.
    there = {seen.key for seen in mine.state.memory or ()}
    records += [mine.known[record.key] for record in withheld if record.key in there and record.key in mine.known]
    kept |= _stand_ins(mine, withheld, records, [key for key in leaving if key not in kept])
    records += [mine.known[key] for key in kept]
    settled, _ = mine.dataset.settled(records)
    made = make_release(settled, wanted.held, wanted.refused, wanted.dropped, wanted.named)
    newest = mine.state.newest
    same = newest is not None and newest.digest == made.digest and newest.held == made.held
    return newest if same and newest is not None else made


def _stand_ins(mine: View, withheld: Sequence[Record], records: Sequence[Record], leaving: Sequence[Key]) -> set[Key]:
    """Of those that leave a set whose newcomers wait, as many stay as keep it from shrinking beyond what guards allow.

    First those of which Consul does not say that they are unfit.
    """
    stay: set[Key] = set()
    if not withheld or not leaving:
        return stay
    gone = set(mine.gone())
    for group in {record.group for record in withheld}:
        leavers = [mine.known[key] for key in leaving if mine.known[key].group == group]
        leavers = sorted((r for r in leavers if r.use is Use.IN), key=lambda r: (r.key in gone, r.sort))
        serving = sum(record.group == group and record.use is Use.IN for record in records)
        least = max(1, ceil(round((1 - mine.max_shrink) * (serving + len(leavers)), 6)))
        most = sum(record.group == group for record in withheld)
        stay.update(record.key for record in leavers[: max(0, min(most, least - serving))])
    return stay


# --- ties ----------------------------------------------------------------------------------------------------------


class Ties:
    """Some records of one list, to be found by their counterparts in another."""

    def __init__(self, view: View, keys: Iterable[Key]) -> None:
        self.keys = set(keys)
        self._view = view
        self._hosts: dict[object, set[Key]] = {}
        self._networks: list[tuple[Network, Key]] = []
        self._instances: dict[Instance, set[Key]] = {}
        for key in self.keys:
            place = _place(view.dataset.host(key))
            if isinstance(place, IPv4Network | IPv6Network):
                self._networks.append((place, key))
            elif place is not None:
                self._hosts.setdefault(place, set()).add(key)
            if instance := _instance(view, key):
                self._instances.setdefault(instance, set()).add(key)

    def found(self, other: View, keys: Iterable[Key]) -> set[Key]:
        """Those of ours that are tied to any of these records of `other`."""
        return set().union(*(self.of(other, key) for key in keys)) if self.keys else set()

    def of(self, other: View, key: Key) -> set[Key]:
        """Those of ours that are tied to this record of `other`."""
        place = _place(other.dataset.host(key))
        found = set(self._by_place(place))
        instance = _instance(other, key)
        for mine in self._instances.get(instance, ()) if instance else ():
            # The instance may have moved: where both say an address, the address counts.
            if not (_says(place) and _says(_place(self._view.dataset.host(mine)))):
                found.add(mine)
        return found

    def _by_place(self, place: object) -> Iterator[Key]:
        if place is None:
            return
        if isinstance(place, IPv4Network | IPv6Network):
            for host, keys in self._hosts.items():
                if _holds(place, host):
                    yield from keys
            yield from (key for network, key in self._networks if network.overlaps(place))
            return
        yield from self._hosts.get(place, ())
        yield from (key for network, key in self._networks if _holds(network, place))


def _holds(network: Network, host: object) -> bool:
    return isinstance(host, IPv4Address | IPv6Address) and host in network


def _says(place: object) -> bool:
    return isinstance(place, IPv4Address | IPv6Address | IPv4Network | IPv6Network)


@lru_cache(maxsize=65_536)
def _place(host: str) -> Address | Network | str | None:
    """An address, a network of more than one address, a name in lower case, or None where there is nothing to go by."""
    if not host:
        return None
    text = host.removeprefix("[").removesuffix("]")
    try:
        if "/" not in text:
            return ip_address(text)
        network = ip_network(text, strict=False)
    except ValueError:
        return host.lower()
    return network.network_address if network.num_addresses == 1 else network


def _instance(view: View, key: Key) -> Instance | None:
    record = view.by_key.get(key)
    if record is None or not (record.source.service and record.source.id):
        return None
    source = record.source
    return source.service, source.id, source.node, source.dc
