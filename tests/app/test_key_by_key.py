"""What Work does with a dataset that can be changed key by key, call by call; a real Kamailio: tests/integration."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from consul_kam.adapters.releases import Releases
from consul_kam.app.work import BATCH, Work
from consul_kam.core import events
from consul_kam.core.change import Base
from consul_kam.core.plan import make_release
from consul_kam.core.ports import Call, Reply
from consul_kam.core.records import Release
from consul_kam.datasets import dataset
from consul_kam.errors import RpcError, RpcFault, RpcTimeout, RpcUnreachable
from consul_kam.testing import FakeKamailio, HTable

CARRIERS = dataset("htable:carriers")
NONE = frozenset[tuple[str | int, ...]]()


def release(**held: str | int) -> Release:
    lines = [f"0:{key}:0:{int(isinstance(value, int))}:{value}:0" for key, value in held.items()]
    return make_release(CARRIERS.parse_native("list", CARRIERS.notation.write(lines)).records)


OLD, NEW = release(a="x", b="y", c=3), release(b="y", c=4, d="z")


class Packets(FakeKamailio):
    """Notes how many calls left together."""

    def __init__(self, table: HTable) -> None:
        super().__init__(table.handlers)
        self.packets: list[int] = []

    def call_in_order(self, calls: Sequence[Call], deadline: float) -> list[Reply]:
        self.packets.append(len(calls))
        return super().call_in_order(calls, deadline)


class World:
    """Memory holds OLD, as proven."""

    def __init__(self, directory: Path) -> None:
        self.table = HTable("carriers", {"a": "x", "b": "y", "c": 3})
        self.table.stored = {"b": "y", "c": 4, "d": "z"}
        self.rpc = Packets(self.table)
        self.work = Work(CARRIERS, self.rpc, directory / "carriers", Releases(directory / "releases"), base=Base(OLD))

    def change(self, wanted: Release = NEW) -> events.Event:
        """Memory is read, the file written, the change applied."""
        memory = self.work.memory()
        assert self.work.write(events.DoWrite(1, wanted, memory, NONE, NONE)) == events.Wrote(1)
        self.rpc.log.clear()
        return self.work.apply(events.DoApply(2))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


BY_KEY = [
    ("htable.seti", "carriers", "c", 4),
    ("htable.sets", "carriers", "d", "z"),
    ("htable.delete", "carriers", "a"),
]
WHOLE = [("htable.reload", "carriers")]


def test_the_file_is_written_first_and_only_what_differs_is_asked_for(world: World) -> None:
    assert world.change() == events.Applied(2, by_key=True)
    assert world.rpc.log == BY_KEY
    assert world.table.held == {"b": "y", "c": 4, "d": "z"}
    assert CARRIERS.parse_native("live", world.work.live.read_bytes()).records == NEW.records


def test_a_release_that_was_published_is_what_the_next_change_starts_from(world: World) -> None:
    world.change()
    assert isinstance(world.work.publish(events.DoPublish(3, NEW, NONE), {}), events.Published)
    assert world.change(OLD) == events.Applied(2, by_key=True)
    assert world.rpc.log == [
        ("htable.sets", "carriers", "a", "x"),
        ("htable.seti", "carriers", "c", 3),
        ("htable.delete", "carriers", "d"),
    ]


def test_drift_is_a_reload(world: World) -> None:
    world.table.held["stranger"] = "x"
    assert world.change() == events.Applied(2)
    assert world.rpc.log == WHOLE


def test_an_engine_with_no_last_known_good_reloads(world: World) -> None:
    world.work.base = Base()
    assert world.change() == events.Applied(2)
    assert world.rpc.log == WHOLE


def test_a_change_that_did_nothing_is_followed_by_a_reload_and_then_begins_anew(world: World) -> None:
    world.rpc.handlers["htable.seti"] = world.rpc.handlers["htable.sets"] = lambda *_: ("Ok",)
    world.rpc.handlers["htable.delete"] = lambda *_: ("Ok",)
    logs = []
    for _ in range(3):
        world.table.held, world.table.stored = {"a": "x", "b": "y", "c": 3}, {"a": "x", "b": "y", "c": 3}
        world.change()
        logs.append(list(world.rpc.log))
    assert logs == [BY_KEY, WHOLE, BY_KEY]


@pytest.mark.parametrize(
    ("error", "carried_out", "event"),
    [
        (RpcFault("htable.sets", 500, "Failed to set the item"), False, events.Faulted),
        (RpcTimeout("cannot tell"), True, events.Faulted),
        (RpcTimeout("cannot tell"), False, events.Faulted),
        (RpcUnreachable("cannot reach"), False, events.Unreachable),
    ],
)
def test_one_that_fails_in_the_middle_is_made_good_by_a_reload(
    world: World, error: RpcError, carried_out: bool, event: type[events.Event]
) -> None:
    world.rpc.fail_next("htable.sets", error, carried_out)
    assert isinstance(world.change(), event)
    assert world.table.held["c"] == 4
    assert ("a" in world.table.held) == (not isinstance(error, RpcFault))
    assert world.change() == events.Applied(2)
    assert world.rpc.log == WHOLE
    assert world.table.held == world.table.stored


def test_a_key_that_is_gone_already_stops_no_other(world: World) -> None:
    """Kamailio restarted between reading and changing: it has loaded the file, and answers 404."""
    memory = world.work.memory()
    world.work.write(events.DoWrite(1, release(c=3), memory, NONE, NONE))
    world.table.held = {"b": "y", "c": 3}
    assert world.work.apply(events.DoApply(2)) == events.Faulted(
        2, "cannot htable.delete: 404 Key not found in htable."
    )
    assert world.table.held == {"c": 3}


def test_many_keys_go_in_packets_of_bounded_length(world: World) -> None:
    wanted = release(a="x", b="y", c=3, **{f"n{number}": number for number in range(BATCH * 2 + 1)})
    assert world.change(wanted) == events.Applied(2, by_key=True)
    assert world.rpc.packets == [BATCH, BATCH, 1]
    assert len(world.table.held) == 3 + BATCH * 2 + 1


def test_what_was_there_already_and_is_published_is_a_base_too(world: World) -> None:
    """As after a start: memory was right, nothing was applied."""
    world.work.base = Base()
    assert isinstance(world.work.publish(events.DoPublish(3, OLD, NONE), {}), events.Published)
    assert world.change() == events.Applied(2, by_key=True)
