"""What Work does about states that change under it, reply by reply; a real Kamailio: tests/integration."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.plan import make_release
from consul_kam.core.ports import Value
from consul_kam.core.records import Release
from consul_kam.datasets import dataset
from consul_kam.errors import RpcError, RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable
from consul_kam.testing import FakeKamailio, Recording, dispatcher, recording

DISPATCHER = dataset("dispatcher")
A, B = "sip:10.0.0.1:5060", "sip:10.0.0.2:5060"
RELEASE = make_release(DISPATCHER.parse_native("list", f"1 {A} 0 9\n1 {B} 0 8\n".encode()).records)
BOTH_UP = {A: "AX", B: "AX"}


class World:
    """Two destinations; whoever changes `flags` after the reading is the operator."""

    def __init__(self, directory: Path, release: Release = RELEASE, flags: Mapping[str, str] = BOTH_UP) -> None:
        self.flags = dict(flags)
        self.rpc = FakeKamailio(
            {"dispatcher.list": self.listed, "dispatcher.reload": self.reload, "dispatcher.set_state": self.set_state}
        )
        self.work = Work(DISPATCHER, self.rpc, directory / "list", Releases(directory / "releases"))
        memory = self.work.memory()
        none = frozenset[tuple[str | int, ...]]()
        assert self.work.write(events.DoWrite(1, release, memory, none, none)) == events.Wrote(1)
        self.rpc.log.clear()

    def listed(self, *how: str) -> tuple[Value, ...]:
        return dispatcher({1: [(uri, flags, 9, "") for uri, flags in self.flags.items()]}, short=how == ("short",))

    def reload(self) -> tuple[Value, ...]:
        self.flags = {A: "AX", B: "AX"}
        return recording("dispatcher", "reload_ok")()

    def set_state(self, state: str, setid: int, uri: str) -> tuple[Value, ...]:
        self.flags[uri] = state
        return recording("dispatcher", "set_state_ok")()

    def apply(self) -> events.Event:
        return self.work.apply(events.DoApply(2))

    def called(self) -> list[str | int]:
        return [call[0] for call in self.rpc.log]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


BOTH = ["dispatcher.list", "dispatcher.reload"]


def test_nothing_changed(world: World) -> None:
    assert world.apply() == events.Applied(2)
    assert world.rpc.log == [("dispatcher.list", "short"), ("dispatcher.reload",)]


def test_a_changed_state_is_put_back(world: World) -> None:
    world.flags[B] = "DX"
    assert world.apply() == events.Applied(2, (((1, B), "DX"),))
    assert world.rpc.log[2:] == [("dispatcher.set_state", "DX", 1, B)]
    assert world.flags == {A: "AX", B: "DX"}


def test_a_state_that_rode_but_means_less_from_a_file_is_put_back_without_a_word(tmp_path: Path) -> None:
    """6.0 never pings what it loads with flag 16 or 32: what is dead would stay so."""
    named = make_release(DISPATCHER.parse_native("list", f"1 {A} 16 9\n1 {B} 0 8\n".encode()).records)
    world = World(tmp_path, named, {A: "IP", B: "IP"})
    assert world.apply() == events.Applied(2)
    assert world.rpc.log[2:] == [("dispatcher.set_state", "IP", 1, A)]
    world = World(tmp_path, named, {A: "IP", B: "IP"})
    world.flags[A] = "AP"
    assert world.apply() == events.Applied(2, (((1, A), "AP"),))
    assert world.rpc.log[2:] == [("dispatcher.set_state", "AP", 1, A)]
    draining = replace(named, disabled=frozenset({(1, A)}))
    world = World(tmp_path, draining, {A: "IP", B: "IP"})
    assert world.apply() == events.Applied(2)
    assert world.called() == BOTH


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (recording("dispatcher", "reload_too_soon"), events.Busy),
        (recording("dispatcher", "reload_bad_line"), events.Faulted),
        (RpcTooBig("cannot dispatcher.reload"), events.Faulted),
        (RpcTimeout("cannot tell"), events.Faulted),
        (RpcUnreachable("cannot reach"), events.Unreachable),
    ],
)
def test_a_reload_that_was_not_confirmed_puts_nothing_back(
    world: World, error: RpcError | Recording, event: type[events.Event]
) -> None:
    world.flags[B] = "DX"
    world.rpc.fail_next("dispatcher.reload", error)
    assert isinstance(world.apply(), event)
    assert world.called() == BOTH


def test_an_empty_table_is_no_failure(world: World) -> None:
    world.flags = {}
    assert world.apply() == events.Applied(2)


@pytest.mark.parametrize("error", [RpcTooBig("cannot list: too big"), RpcMalformed("cannot read")])
def test_a_list_that_cannot_be_had_is_said(world: World, error: RpcError) -> None:
    world.rpc.fail_next("dispatcher.list", error)
    assert world.apply() == events.Applied(2, not_put_back=str(error))
    assert world.called() == BOTH


def test_one_refused_does_not_stop_the_others(world: World) -> None:
    world.flags = {A: "IX", B: "DX"}
    refused = RpcFault("dispatcher.set_state", 500, "State Update Failed")
    world.rpc.fail_next("dispatcher.set_state", refused)
    assert world.apply() == events.Applied(2, (((1, B), "DX"),), str(refused))


def test_no_answer_ends_it(world: World) -> None:
    world.flags = {A: "IX", B: "DX"}
    world.rpc.fail_next("dispatcher.set_state", RpcTimeout("cannot tell"))
    assert world.apply() == events.Applied(2, (), "cannot tell")
    assert world.rpc.calls["dispatcher.set_state"] == 1


def test_states_of_an_older_file_are_never_put_back(world: World) -> None:
    world.apply()
    world.rpc.log.clear()
    assert world.apply() == events.Applied(2)
    assert world.called() == ["dispatcher.reload"]
