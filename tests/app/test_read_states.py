"""The reading ahead of a change: keys and states alone, where that is enough."""

from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.work import Work
from consul_kam.core import events
from consul_kam.core.events import DoRead, Read
from consul_kam.core.ports import Value
from consul_kam.core.records import Memory
from consul_kam.datasets import dataset
from consul_kam.errors import RpcMalformed
from consul_kam.testing import FakeKamailio, dispatcher

A, B, C = (f"sip:10.0.0.{number}:5060" for number in (1, 2, 3))


class World:
    """`flags` is what Kamailio holds."""

    def __init__(self, directory: Path) -> None:
        self.flags = {A: "AX", B: "AX"}
        self.rpc = FakeKamailio({"dispatcher.list": self.listed})
        self.work = Work(dataset("dispatcher"), self.rpc, directory / "list", Releases(directory / "releases"))
        self.known = self.memory()

    def listed(self, *how: str) -> tuple[Value, ...]:
        return dispatcher(
            {1: [(uri, flags, 9, "duid=x") for uri, flags in self.flags.items()]}, short=how == ("short",)
        )

    def memory(self) -> Memory:
        memory = self.work.memory()
        self.rpc.log.clear()
        return memory

    def read(self) -> Memory:
        event = self.work.read_states(DoRead(1), self.known)
        assert isinstance(event, Read)
        return event.memory


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_states_are_new_and_all_else_is_as_it_was_known(world: World) -> None:
    world.flags[B] = "IP"
    found = world.read()
    assert world.rpc.log == [("dispatcher.list", "short")]
    assert found == world.memory()
    assert [entry.state for entry in found] == ["AX", "IP"]


def test_a_disabled_one_is_known_as_such(world: World) -> None:
    world.flags[A] = "DX"
    assert [entry.disabled for entry in world.read()] == [True, False]


@pytest.mark.parametrize("flags", [{A: "AX"}, {B: "AX", A: "AX"}, {A: "AX", C: "AX"}, {A: "AX", B: "AX", C: "AX"}])
def test_other_keys_or_another_order_are_read_whole(world: World, flags: dict[str, str]) -> None:
    world.flags = flags
    found = world.read()
    assert world.rpc.log == [("dispatcher.list", "short"), ("dispatcher.list",)]
    assert found == world.memory()


def test_a_short_answer_that_fails_leads_to_the_whole_one(world: World) -> None:
    world.rpc.fail_next("dispatcher.list", RpcMalformed("cannot read it"))
    assert world.read() == world.known


def test_an_empty_list_is_read_whole(world: World) -> None:
    world.flags = {}
    assert world.read() == ()


def test_a_dataset_without_states_is_read_as_ever(tmp_path: Path) -> None:
    rpc = FakeKamailio({"domain.dump": lambda: ((("domains", ()),),)})
    work = Work(dataset("domain"), rpc, tmp_path / "domain", Releases(tmp_path / "releases"))
    assert isinstance(work.read_states(DoRead(1), ()), events.Read)
    assert rpc.log == [("domain.dump",)]
