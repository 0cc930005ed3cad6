"""What comes in from staging, step by step: no reading may be taken for unchanged because an older one is under way."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.adapters.consul_source import Source
from consul_kam.app.intake import Intake, _emptied, _Givers
from consul_kam.app.pipeline import Pipeline
from consul_kam.core.plan import Policy
from consul_kam.core.records import Use
from consul_kam.core.release import State
from consul_kam.datasets import dataset

DISPATCHER = dataset("dispatcher")
Call = Callable[[], None]


class World:
    """One staging file; the disk worker and the decision thread run when told to. `asked`: what Consul is asked."""

    def __init__(self, directory: Path, sources: Mapping[str, object]) -> None:
        self.path = directory / "dispatcher"
        self.disk: list[Call] = []
        self.decisions: list[Call] = []
        self.timers: list[Call] = []
        self.ahead: list[str] = []
        self.asked: list[Callable[[list[str]], None]] = []
        self.pipeline = Pipeline(DISPATCHER, Policy(), State(), lambda: 1000.0)
        self.lane = SimpleNamespace(
            pipeline=self.pipeline, staging={"": self.path}, sources=sources, asked={}, touched=0.0, trace=None
        )
        engine = SimpleNamespace(
            lanes={"dispatcher": self.lane},
            loop=SimpleNamespace(take=self.decisions.append, at=lambda when, call: self.timers.append(call)),
            disk=SimpleNamespace(submit=self.disk.append),
            do=lambda lane, doing: None,
            read_ahead=lambda lane: self.ahead.append(lane.pipeline.dataset.name),
        )
        acls = SimpleNamespace(ask=lambda sources, part, answer, then: self.asked.append(then))
        self.intake = Intake(cast("Any", engine), cast("Any", acls))

    def write(self, records: int) -> None:
        lines = [f'{{"setid":1,"address":"10.0.0.{number}"}}' for number in range(1, records + 1)]
        self.path.write_text("\n".join([*lines, f'{{"end":"dispatcher","records":{records}}}']))

    def first(self, records: int) -> None:
        """A list that Consul hides nothing of."""
        self.write(records)
        self.take_in()
        self.asked.pop()([])
        self.timers.clear()

    def take_in(self) -> None:
        self.intake.scan_all()
        self.read()
        self.decide()

    def read(self) -> None:
        while self.disk:
            self.disk.pop(0)()

    def decide(self) -> None:
        while self.decisions:
            self.decisions.pop(0)()

    def records(self) -> int:
        answer = self.pipeline.staging[""].answer
        return len(answer.records) if answer is not None else -1


def test_a_list_that_changes_and_changes_back_while_it_is_parsed(tmp_path: Path) -> None:
    world = World(tmp_path, {})
    world.write(3)
    world.take_in()
    world.write(2)
    world.intake.scan_all()
    world.read()
    world.write(3)
    world.intake.scan_all()
    world.read()
    world.decide()
    assert world.records() == 3


def test_a_question_to_consul_is_void_once_the_list_is_as_before(tmp_path: Path) -> None:
    world = World(tmp_path, {"": ("service",)})
    world.first(3)
    world.write(1)
    world.take_in()
    assert len(world.asked) == 1
    world.write(3)
    world.take_in()
    world.asked[0]([])
    assert world.records() == 3


def test_a_consul_that_does_not_answer_hides_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"": ("service router",)})
    world.first(8)
    world.write(4)
    world.take_in()
    assert (world.records(), len(world.asked)) == (8, 1)
    world.timers.pop()()
    assert world.records() == 4


def test_a_first_list_waits_for_consuls_word_too_and_a_token_without_rights_gives_none(tmp_path: Path) -> None:
    """What it lacks nobody knows: "none" and "not for you" look the same."""
    world = World(tmp_path, {"": ("service router",)})
    for records in (0, 3):
        world.write(records)
        world.take_in()
        assert world.pipeline.staging.get("") is None or world.records() == -1
        world.asked.pop()(["service router"])
        assert "ACLs hide some of service router" in world.pipeline.staging[""].error
        assert world.records() == -1
    world.write(4)
    world.take_in()
    world.asked.pop()([])
    assert world.records() == 4


def test_a_small_source_that_gives_nothing_any_more_waits_for_consuls_word(tmp_path: Path) -> None:
    """It is one record of nine, and all that a token without the right to it would see missing."""
    sources = (Source("service", "router"), Source("service", "gateway"))
    world = World(tmp_path, {"": sources})

    def write(*services: str) -> None:
        lines = [f'{{"setid":1,"address":"10.0.0.{n}","source":{{"service":"{s}"}}}}' for n, s in enumerate(services)]
        world.path.write_text("\n".join([*lines, f'{{"end":"dispatcher","records":{len(lines)}}}']))
        world.take_in()

    write(*["router"] * 8, "gateway")
    world.asked.pop()([])
    write(*["router"] * 8)
    assert world.records() == 9
    world.asked.pop()(["service gateway"])
    assert "ACLs hide some of service gateway" in world.pipeline.staging[""].error
    write(*["router"] * 7, "gateway")
    assert world.records() == 8, "a source that gives less does not wait"


@pytest.mark.parametrize("kind", ["service", "kv"])
def test_many_sources_are_looked_at_in_one_pass_over_the_records(kind: str, tmp_path: Path) -> None:
    """One is lost of the last source; each is compared with a few texts, not with all."""
    counted: list[int] = [0]

    class Text(str):
        def __eq__(self, other: object) -> bool:
            counted[0] += 1
            return super().__eq__(other)

        def startswith(self, *arguments: Any) -> bool:
            counted[0] += 1
            return super().startswith(*arguments)

        __hash__ = str.__hash__

    def of(number: int) -> SimpleNamespace:
        source = SimpleNamespace(service=Text("s" * (number % 100)), id=Text(f"kv:{number % 100:02d}/{number}"))
        return SimpleNamespace(part="", use=Use.IN, source=source, key=number)

    last = [of(number) for number in range(2_000)]
    sources = tuple(Source(kind, "s" * number if kind == "service" else f"{number:02d}/") for number in range(100))
    lane = SimpleNamespace(pipeline=SimpleNamespace(last=SimpleNamespace(records=last)), sources={"": sources})
    for kept, gone in ((last[:-1], False), ([each for each in last if each.key % 100 != 99], True)):
        counted[0] = 0
        assert _emptied(cast("Any", lane), "", cast("Any", SimpleNamespace(records=kept))) is gone
        assert counted[0] < 3 * len(last)


@given(st.lists(st.tuples(st.sampled_from(["", "a", "ab", "b"]), st.sampled_from(["", "kv:a", "kv:a/b", "kv:b", "x"]))))
def test_a_source_has_given_what_one_of_the_records_is_of(given: list[tuple[str, str]]) -> None:
    found = _Givers(SimpleNamespace(service=service, id=id) for service, id in given)  # type: ignore[misc]
    for kind in ("service", "kv"):
        for place in ("", "a", "a/", "ab", "b", "c"):
            source = Source(kind, place)
            assert found.has(source) == any(source.gave(*each) for each in given)


def test_states_are_told_from_when_somebody_begins_to_write_beside_a_staging_file(tmp_path: Path) -> None:
    world = World(tmp_path, {})
    world.intake.coming(tmp_path / "elsewhere" / "12345")
    world.decide()
    assert world.ahead == []
    world.intake.coming(tmp_path / "12345")
    world.decide()
    assert world.ahead == ["dispatcher"]
