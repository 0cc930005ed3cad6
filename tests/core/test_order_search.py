"""Every way in which two lists can follow Consul, each at its own pace: is trust always there before and after use?

A small world: one service with two instances, of which one may move to another address; the trusting list (domain
stands for it: a record is a host) and the routing list (dispatcher). Each is rendered when it likes, and goes to memory
in three steps (decide after reading, Kamailio loads, read back) between which anything else may happen; the engine may
die at any point and know only what was published.
"""

import json
from collections import deque
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from consul_kam.core.dataset import Dataset
from consul_kam.core.order import Gated, View, gate
from consul_kam.core.plan import make_release
from consul_kam.core.records import Key, Record, Release, Seen
from consul_kam.core.state import State
from consul_kam.datasets import dataset

Peers = frozenset[str]
TRUST, ROUTE = dataset("domain"), dataset("dispatcher")
HOSTS = {"1a": "10.0.0.1", "1b": "10.0.0.11", "2": "10.0.0.2"}
"""1a and 1b are one instance at two addresses."""
WORLDS: list[Peers] = [frozenset(peers) for peers in ((), ("1a",), ("1b",), ("2",), ("1a", "2"), ("1b", "2"))]
NAMES = {"trust": TRUST.name, "route": ROUTE.name}
ASKED = {("router", "")}


@cache
def record(list_: str, peer: str) -> Record:
    host = HOSTS[peer]
    fields = {"address": host, "port": 5060, "setid": 1} if list_ == ROUTE.name else {"domain": host}
    line = json.dumps({**fields, "source": {"service": "router", "id": f"r{peer[0]}"}, "status": "passing"})
    (found,) = dataset(list_).parse_staging("f", f'{line}\n{{"end":"{list_}","records":1}}\n'.encode()).records
    return found


@cache
def release(list_: str, peers: Peers) -> Release:
    return make_release([record(list_, peer) for peer in sorted(peers)])


def peers_of(list_: str, found: Release) -> Peers:
    keys = {record.key for record in found.records}
    return frozenset(peer for peer in HOSTS if record(list_, peer).key in keys)


class Lane(NamedTuple):
    """One list. `memory` is what the engine knows of it, `real` what Kamailio has; None: not known since its start."""

    wanted: Peers | None
    newest: Peers | None = None
    target: Peers | None = None
    memory: Peers | None = None
    published: Peers = frozenset()
    known: Peers = frozenset()
    real: Peers = frozenset()
    step: str = "idle"


class World(NamedTuple):
    consul: Peers
    trust: Lane
    route: Lane
    changes: int = 0
    deaths: int = 0


def view(lane: Lane, of: Dataset) -> View:
    def made(peers: Peers | None) -> Release | None:
        return None if peers is None else release(of.name, peers)

    memory = None if lane.memory is None else tuple(Seen(record(of.name, p).key, ()) for p in sorted(lane.memory))
    state = State(newest=made(lane.newest), target=made(lane.target), memory=memory, lkg=made(lane.published))
    known: dict[Key, Record] = {(r := record(of.name, peer)).key: r for peer in lane.known}
    return View(of, state, made(lane.wanted), known)


@cache
def decided(trust: Lane, route: Lane, name: str) -> tuple[Gated, Peers]:
    trusting, routing = view(trust, TRUST), view(route, ROUTE)
    if name == "trust":
        found = gate(trusting, [], [routing], None, 0.0, 10.0)
        return found, peers_of(TRUST.name, found.release)
    found = gate(routing, [(trusting, ASKED)], [], None, 0.0, 10.0)
    return found, peers_of(ROUTE.name, found.release)


def steps(world: World, name: str) -> Iterator[World]:
    """What the lane can do next; `newest` is `gate`'s answer at the reading, as the engine takes it up."""
    lane: Lane = getattr(world, name)
    if lane.step == "idle" and lane.memory is None:
        yield world._replace(**{name: lane._replace(memory=lane.real)})
    elif lane.step == "idle" and lane.wanted is not None:
        memory = lane.memory
        assert memory is not None
        gated, found = decided(world.trust, world.route, name)
        assert found or not (memory and lane.wanted), "a set was emptied because its newcomers wait"
        assert gated.release is release(NAMES[name], lane.wanted) or gated.waits
        done = lane._replace(newest=found, target=found, known=found | lane.published | memory & lane.known)
        yield world._replace(**{name: done._replace(step="idle" if found == memory else "writing")})
    elif lane.step == "writing":
        assert lane.target is not None
        yield world._replace(**{name: lane._replace(real=lane.target, step="loaded")})
    elif lane.step == "loaded":
        assert lane.target is not None
        yield world._replace(**{name: lane._replace(memory=lane.real, published=lane.target, step="idle")})


def step(world: World, name: str) -> World:
    return next(steps(world, name), world)


def render(world: World, name: str) -> World:
    lane: Lane = getattr(world, name)
    return world._replace(**{name: lane._replace(wanted=world.consul)})


def dead(lane: Lane) -> Lane:
    """The next engine: a last known good, and what is staged is read by and by."""
    return Lane(None, lane.published, None, None, lane.published, lane.published, lane.real)


def after(world: World, changes: int, deaths: int) -> Iterator[World]:
    for name in ("trust", "route"):
        yield from steps(world, name)
        yield render(world, name)
    if world.changes < changes:
        yield from (world._replace(consul=c, changes=world.changes + 1) for c in WORLDS if c != world.consul)
    if world.deaths < deaths:
        yield world._replace(trust=dead(world.trust), route=dead(world.route), deaths=world.deaths + 1)


@cache
def converges(world: World) -> bool:
    """With nothing more to come, both lists come to hold what Consul says, whoever goes first."""
    for first, second in (("trust", "route"), ("route", "trust")):
        end = render(render(world, "trust"), "route")
        while (moved := step(step(end, first), second)) != end:
            end = moved
        if {end.trust.real, end.route.real} != {world.consul}:
            return False
    return True


@pytest.mark.parametrize(("changes", "deaths"), [(2, 0), (1, 1)])
@pytest.mark.parametrize("first", WORLDS, ids=lambda peers: "+".join(sorted(peers)) or "none")
def test_whoever_is_routed_to_is_trusted_in_every_order_of_events(first: Peers, changes: int, deaths: int) -> None:
    lane = Lane(first, first, first, first, first, first, first)
    start = World(first, lane, lane)
    seen, todo = {start}, deque([start])
    while todo:
        world = todo.popleft()
        assert world.route.real <= world.trust.real, world
        assert converges(world._replace(changes=0, deaths=0)), world
        for found in after(world, changes, deaths):
            if found not in seen:
                seen.add(found)
                todo.append(found)
    assert len(seen) > 300
