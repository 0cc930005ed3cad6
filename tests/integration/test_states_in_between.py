"""A state that changes between reading and reload is put back: Work against a real Kamailio and its operator."""

import random
import threading
import time
from collections.abc import Iterator

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.adapters.rpc import connect
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.plan import make_release
from consul_kam.core.records import Key, Memory, Release
from consul_kam.datasets import dataset
from tests.lab import ConsulAgent, Kamailio, Lab, Rpc, wait_for
from tests.lab.ports import free_port
from tests.lab.world import World, every_version, uri

pytestmark = every_version

DISPATCHER = dataset("dispatcher")
NONE: frozenset[Key] = frozenset()
STATES = ("dx", "ip", "ax", "tx", "ap", "ix")


def release(*marked: int, count: int = 10, turn: int = 0) -> Release:
    """`count` routers, the `marked` ones draining; `turn` makes one that differs from the last."""
    lines = [
        f"1 {uri(n)} 0 {turn % 9}{' # draining (consul-kam)' if n in marked else ''}\n" for n in range(1, count + 1)
    ]
    return make_release(DISPATCHER.parse_native("list", "".join(lines).encode()).records)


class Change:
    """One change in steps, so that somebody can step in between."""

    def __init__(self, kam: Kamailio, spec: str = "") -> None:
        self.kam, self.operator = kam, Rpc(kam.ctl)
        self.work = Work(DISPATCHER, connect(spec or f"unix:{kam.ctl}"), kam.list_file, Releases(kam.run / "releases"))

    def write(self, wanted: Release, enable: frozenset[Key] = NONE) -> None:
        memory: Memory = self.work.memory()
        wrote = self.work.write(events.DoWrite(1, wanted, memory, enable, wanted.disabled | enable))
        assert wrote == events.Wrote(1)

    def apply(self) -> events.Event:
        return self.work.apply(events.DoApply(2))

    def set_state(self, state: str, number: int) -> None:
        self.operator.call("dispatcher.set_state", state, 1, uri(number))

    def flags(self) -> dict[int, str]:
        found = self.kam.rpc.dispatcher()[1]
        return {number: d.flags for number in range(1, 11) for d in found if d.uri == uri(number)}


@pytest.fixture
def change(lab: Lab) -> Iterator[Change]:
    change = Change(lab.kamailio(reload_delta=0))
    change.write(release())
    assert change.apply() == events.Applied(2)
    yield change
    change.work.rpc.close()


def test_each_state_set_in_between_is_put_back_and_said(change: Change) -> None:
    change.set_state("dx", 9)
    change.write(release(turn=1))
    for number, state in enumerate(STATES, 1):
        change.set_state(state, number)
    change.set_state("ax", 9)
    applied = change.apply()
    assert isinstance(applied, events.Applied)
    put_back = {1: "DX", 2: "IP", 4: "TX", 5: "AP", 6: "IX", 9: "AX"}
    assert dict(applied.put_back) == {(1, uri(n)): state for n, state in put_back.items()}
    assert applied.not_put_back == ""
    assert change.flags() == {n: put_back.get(n, "AX") for n in range(1, 11)}


def test_our_own_disabling_and_its_end_are_not_put_back(change: Change) -> None:
    change.write(release(2, 3))
    change.set_state("ip", 2)
    assert change.apply() == events.Applied(2)
    assert (change.flags()[2], change.flags()[3]) == ("DX", "DX")
    change.write(release(), enable=frozenset({(1, uri(2)), (1, uri(3))}))
    change.set_state("ip", 3)
    assert change.apply() == events.Applied(2, (((1, uri(3)), "IP"),))
    assert (change.flags()[2], change.flags()[3]) == ("AX", "IP")


def test_what_is_dead_comes_back_by_a_ping_whatever_its_flags(lab: Lab) -> None:
    """6.0 pings nothing that was loaded with 16 or 32, but all that a state was set on since."""
    routers = {lab.uas(): flags for flags in (0, 16, 32)}
    change = Change(lab.kamailio(reload_delta=0, ping_interval=1, fr_timer=300))

    def load(priority: int) -> events.Event:
        lines = "".join(f"1 {router.uri} {flags} {priority}\n" for router, flags in routers.items())
        change.write(make_release(DISPATCHER.parse_native("list", lines.encode()).records))
        return change.apply()

    def states() -> set[str]:
        return {each.flags for each in change.kam.rpc.dispatcher()[1]}

    load(1)
    for router in routers:
        router.silent = True
    time.sleep(1)  # no answer to a ping is under way any more
    for router in routers:
        change.operator.call("dispatcher.set_state", "ip", 1, router.uri)
    assert load(2) == events.Applied(2)
    assert states() == {"IP"}
    for router in routers:
        router.silent = False
    wait_for("all to answer", lambda: states() == {"AP"}, 10)
    change.work.rpc.close()


def test_what_leaves_or_was_removed_by_hand_is_let_go(change: Change) -> None:
    change.write(release(count=9))
    change.set_state("dx", 10)
    assert change.apply() == events.Applied(2)
    assert 10 not in change.flags()


def test_a_refused_reload_puts_nothing_back(lab: Lab) -> None:
    change = Change(lab.kamailio(reload_delta=5))
    change.write(release())
    assert change.apply() == events.Applied(2)
    change.write(release(turn=1))
    change.set_state("dx", 4)
    assert isinstance(change.apply(), events.Busy)
    assert change.flags()[4] == "DX"


def test_every_transport_puts_back(lab: Lab) -> None:
    tcp, udp = free_port(), free_port()
    listen = f'modparam("ctl","binrpc","tcp:127.0.0.1:{tcp}")\nmodparam("ctl","binrpc","udp:127.0.0.1:{udp}")'
    kam = lab.kamailio(reload_delta=0, modparams=listen)
    for turn, spec in enumerate((f"tcp:127.0.0.1:{tcp}", f"udp:127.0.0.1:{udp}", f"kamcmd:kamcmd -s unixs:{kam.ctl}")):
        change = Change(kam, spec)
        change.write(release(turn=turn))
        change.apply()
        time.sleep(0.1)
        change.write(release(turn=turn + 4))
        change.set_state(("dx", "ip", "tx")[turn], 1 + turn)
        assert change.apply() == events.Applied(2, (((1, uri(1 + turn)), ("DX", "IP", "TX")[turn]),)), spec
        time.sleep(0.1)
    assert [change.flags()[number] for number in (1, 2, 3)] == ["DX", "IP", "TX"]


def test_no_state_is_lost_in_a_hundred_reloads_with_an_operator_at_random_moments(change: Change) -> None:
    chance, width, lost, put_back = random.Random(4), 0.002, [], 0
    operators = dict.fromkeys(range(1, 11), "AX")
    for turn in range(1000):
        number = chance.randrange(1, 11)
        state = chance.choice([each for each in STATES if each.upper() != operators[number]])
        operators[number] = state.upper()
        hand = threading.Timer(chance.uniform(0.0, width), change.set_state, (state, number))
        hand.start()
        began = time.monotonic()
        change.write(release(turn=turn))
        applied = change.apply()
        width = 0.9 * width + 0.1 * (time.monotonic() - began)
        hand.join()
        assert isinstance(applied, events.Applied)
        put_back += len(applied.put_back)
        if change.flags() != operators:
            lost.append((turn, operators, change.flags()))
            operators = change.flags()
        if turn >= 99 and put_back >= 5:
            break
        time.sleep(0.01)
    assert lost == []
    assert put_back >= 5


def test_the_engine_says_so(lab: Lab, consul: ConsulAgent) -> None:
    """60 changes by a whole engine, and an operator who disables 200 routers one after the other meanwhile."""
    world = World(lab, consul, kamailio_lines="min_gap = 0.02", templates=False)
    staged, new, operator = world.engine.staging / "dispatcher", world.engine.staging / ".new", Rpc(world.kam.ctl)
    turn = 0

    def stage() -> None:
        new.write_text("".join(f"1 {uri(number)} 0 {turn % 9}\n" for number in range(1, 201)))
        new.rename(staged)
        world.seen.wait_until(lambda memory: {d.priority for d in memory.get(1, [])} == {turn % 9}, 15)

    stage()

    def disable() -> None:
        for number in range(1, 201):
            operator.call("dispatcher.set_state", "dx", 1, uri(number))
            time.sleep(0.005)

    hand = threading.Thread(target=disable)
    hand.start()
    while hand.is_alive():
        turn += 1
        stage()
    hand.join()
    turn += 1
    stage()
    world.rest()
    assert {d.flags for d in world.kam.rpc.dispatcher()[1]} == {"DX"}
    notes = [entry for entry in world.engine.journal() if entry.get("event") == "states put back"]
    assert notes
    assert all(set(note["states"].values()) == {"DX"} for note in notes)
    assert all(note["count"] == len(note["states"]) for note in notes)
