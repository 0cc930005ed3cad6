"""The order between lists, carried out: asks core/order.py what of each list may be in memory now, again and again.

It keeps nothing but since when a record waits; an engine that starts anew starts these waits anew. It works in
the loop and holds no lock: a list that waits is at rest, and others go to memory meanwhile.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from math import inf
from operator import is_
from typing import Any, Protocol

from consul_kam.app.doing import Doing
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.reports import SHOWN, text
from consul_kam.config import DatasetSettings
from consul_kam.core.events import Phase
from consul_kam.core.order import Asked, Gated, View, Wait, gate, routed, untrusted
from consul_kam.core.records import Key, Memory, Record, Release, Use

NOTED = 1.0
"""Seconds that a wait lasts before the journal tells of it: most are over within milliseconds."""


class Lane(Protocol):
    """One list, as far as its order goes."""

    @property
    def pipeline(self) -> Pipeline: ...


class Loop(Protocol):
    """Has a call made at a time of the monotonic clock, s."""

    def at(self, when: float, call: Callable[[], object]) -> object: ...


class Notes(Protocol):
    """Where waits are told."""

    def note(self, dataset: str, event: str, **facts: Any) -> None: ...


class Engine(Protocol):
    """What carries lists along: the engine, or a replay's."""

    @property
    def lanes(self) -> Mapping[str, Lane]: ...
    @property
    def loop(self) -> Loop: ...
    @property
    def reporter(self) -> Notes: ...
    @property
    def after(self) -> list[Callable[[], None]]: ...

    def do(self, lane: Any, doing: list[Doing]) -> None: ...


@dataclass
class _Place:
    """One list in the order."""

    lane: Lane
    gated: Gated | None = None
    known: dict[Key, Record] = field(default_factory=dict)
    known_of: tuple[Release | None, ...] = ()
    """The releases that `known` was made of."""
    told: dict[tuple[str, Key], float] = field(default_factory=dict)
    """(what the journal was told, key) -> since when it waits."""

    @property
    def pipeline(self) -> Pipeline:
        return self.lane.pipeline

    @property
    def name(self) -> str:
        return self.pipeline.dataset.name

    @property
    def seen(self) -> tuple[object, ...]:
        """What the answer depends on, by identity."""
        state = self.pipeline.state
        return (state.memory, state.target, state.newest, state.phase, self.pipeline.wanted, self.pipeline.pinned)


class Ordering:
    """`names`: the lists, those that are trusted first. `patience`: seconds that one waits for another at most.

    `clock`: monotonic, s.
    """

    def __init__(
        self,
        engine: Engine,
        chosen: Mapping[str, DatasetSettings],
        names: Collection[str],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.patience, self._clock = patience, clock
        # What is only observed is never written, so nobody could wait for it.
        self._places = [_place(engine.lanes[name]) for name in names if not engine.lanes[name].pipeline.observe]
        self._engine = engine
        self._asked = {(a.name, b.name): _asked(chosen[a.name], chosen[b.name]) for a, b in self._pairs()}
        self._seen: list[object] = []
        self._due, self._armed = inf, inf
        if len(self._places) > 1:
            for place in self._places:
                place.pipeline.gate = lambda wanted, memory, now, place=place: self._gate(place, wanted, memory, now)
            engine.after.append(self._look)

    @property
    def names(self) -> list[str]:
        """The lists that follow one another; none where there are not two."""
        return [place.name for place in self._places] if len(self._places) > 1 else []

    def waits(self, name: str) -> Mapping[Key, Wait]:
        """What of this list waits for another now."""
        place = next((place for place in self._places if place.name == name), None)
        return place.gated.waits if place is not None and place.gated is not None else {}

    def out_of_order(self, name: str) -> dict[Key, str]:
        """What is in use, or may be, without its counterpart in an earlier list: key -> that list."""
        found: dict[Key, str] = {}
        for index, place in enumerate(self._places if len(self._places) > 1 else ()):
            mine = self._view(place, place.pipeline.state.memory)
            for earlier in self._places[:index] if place.name == name else ():
                other, asked = self._view(earlier, earlier.pipeline.state.memory), self._asked[earlier.name, name]
                found |= dict.fromkeys(untrusted(mine, routed(mine), other, asked), earlier.name)
        return found

    # -- inside ---------------------------------------------------------------------------------------------------

    def _pairs(self) -> list[tuple[_Place, _Place]]:
        return [(a, b) for index, b in enumerate(self._places) for a in self._places[:index]]

    def _gate(self, place: _Place, wanted: Release, memory: Memory | None, now: float) -> Release:
        if place.pipeline.pinned:  # an operator's word goes at once, in whatever order
            place.gated, place.pipeline.waits = None, False
            return wanted
        mine = replace(self._view(place, memory), wanted=wanted)
        earlier = [
            (self._view(a, a.pipeline.state.memory), self._asked[a.name, b.name])
            for a, b in self._pairs()
            if b is place
        ]
        later = [self._view(b, b.pipeline.state.memory) for a, b in self._pairs() if a is place]
        place.gated = gate(mine, earlier, later, place.gated, now, self.patience)
        place.pipeline.waits = bool(place.gated.waits)
        self._tell(place, place.gated, now)
        return place.gated.release

    def _look(self) -> None:
        """After each event: did anything change that a list may have waited for, or is a wait over?"""
        now = self._clock()
        seen = [each for place in self._places for each in place.seen]
        if now < self._due and len(seen) == len(self._seen) and all(map(is_, seen, self._seen)):
            return
        self._seen = seen
        for place in self._places:
            if place.pipeline.state.phase in (Phase.IDLE, Phase.DEGRADED, Phase.WAITING):
                self._engine.do(place.lane, place.pipeline.look_again(now))
        self._arm(now)

    def _arm(self, now: float) -> None:
        """One timer at a time, for the next end of a wait, and for the next that the journal has to hear of."""
        waits = [(key, wait) for place in self._places if place.gated for key, wait in place.gated.waits.items()]
        times = [t for _, wait in waits for t in (wait.since + NOTED, wait.until) if t > now]
        self._due = min(times, default=inf)
        if self._due < self._armed or self._armed <= now:
            self._armed = self._due
            if self._due < inf:
                self._engine.loop.at(self._due, lambda: None)

    def _view(self, place: _Place, memory: Memory | None) -> View:
        pipeline, state = place.pipeline, place.pipeline.state
        releases = (state.lkg, state.target, state.newest)
        if any(a is not b for a, b in zip(releases, place.known_of or (None, None, None), strict=True)):
            kept = place.known
            if memory is not None:
                there = {seen.key for seen in memory}
                kept = {key: record for key, record in kept.items() if key in there}
            new = {record.key: record for release in releases if release is not None for record in release.records}
            place.known, place.known_of = {**kept, **new}, releases
        if memory is not state.memory:
            state = replace(state, memory=memory)
        ahead = self._clock() - pipeline.wall()
        held = {key: hold.until + ahead for key, hold in pipeline.past.holds.items() if hold.until is not None}
        shrink = pipeline.policy.limits.max_shrink
        return View(pipeline.dataset, state, pipeline.wanted, place.known, held, lambda: _gone(pipeline), shrink)

    def _tell(self, place: _Place, gated: Gated, now: float) -> None:
        """Once for each wait that lasts, and once for each that was in vain."""
        slow = {key: wait for key, wait in gated.waits.items() if now >= wait.since + NOTED}
        told: dict[tuple[str, Key], float] = {}
        for word, waits in (("waits", slow), ("goes out of order", gated.late)):
            new: dict[Key, Wait] = {}
            for key, wait in waits.items():
                told[word, key] = wait.since
                if place.told.get((word, key)) != wait.since:
                    new[key] = wait
            if new:
                why = {text(key): wait.why for key, wait in list(new.items())[:SHOWN]}
                self._engine.reporter.note(place.name, word, count=len(new), records=why, order_wait=self.patience)
        place.told = told


def _place(lane: Lane) -> _Place:
    """At the very first start, what the live file holds is what is known of memory."""
    last = lane.pipeline.last
    return _Place(lane, known={record.key: record for record in last.records} if last is not None else {})


def _gone(pipeline: Pipeline) -> set[Key]:
    """The records of which Consul says that they are out."""
    answers = [entry.answer for entry in pipeline.staging.values() if entry.answer is not None]
    return {record.key for answer in answers for record in answer.records if record.use is Use.OUT}


def _asked(earlier: DatasetSettings, later: DatasetSettings) -> Asked:
    """(service, part) of which the earlier list gets each instance that the later one gets."""
    found = set()
    for entry in later.sets:
        service, part = str(entry["service"]), str(entry["datacenter"])
        like = [each for each in earlier.sets if (str(each["service"]), str(each["datacenter"])) == (service, part)]
        tags = {str(each["tag"]) for each in like}
        mine = {str(e["tag"]) for e in later.sets if (str(e["service"]), str(e["datacenter"])) == (service, part)}
        if service and like and ("" in tags or mine <= tags):
            found.add((service, part))
    return found
