"""Rule 7 of design.md: whom a peak counts. One record more or less decides in each of these."""

import pytest

from consul_kam.core.guards import MEMORY, WHOLE, Group, Limits, Past, decide
from consul_kam.core.plan import make_release
from tests.core.story import Story, names, record


@pytest.mark.parametrize(("left", "held"), [(2, 0), (1, 3)])
def test_records_whose_hold_ended_are_not_counted(left: int, held: int) -> None:
    story = Story().at(0, names(10)).at(10, names(4))
    assert (len(story.held), story.at(70, names(4)).held) == (6, {})
    assert len(story.at(80, names(left)).held) == held


@pytest.mark.parametrize(("left", "held"), [(2, 0), (1, 3)])
def test_records_that_drained_are_not_counted(left: int, held: int) -> None:
    story = Story().at(0, names(10)).at(10, names(4), draining=names(5, 10)).at(20, names(4))
    assert len(story.at(80, names(left)).held) == held


@pytest.mark.parametrize(("left", "held"), [(2, 0), (1, 3)])
def test_records_that_an_operator_let_go_are_not_counted(left: int, held: int) -> None:
    story = Story().at(0, names(10)).at(10, names(4), approved=True)
    assert story.held == {}
    assert len(story.at(80, names(left)).held) == held


def test_records_that_just_left_are_counted() -> None:
    assert len(Story().at(0, names(10)).at(10, names(5)).at(20, names(4)).held) == 1


def test_one_that_left_before_the_held_ones_is_counted_still() -> None:
    """Ten at first, less the five whose hold ended: five, not the four of now."""
    story = Story().at(0, names(10)).at(10, names(9)).at(20, names(4)).at(80, names(4))
    assert story.held == {}
    assert len(story.at(90, names(2)).held) == 2


def test_the_end_of_a_hold_leaves_the_other_sets_alone() -> None:
    other = names(4, of="2/r")
    story = Story().at(0, [*names(8), *other]).at(10, [*names(3), *other]).at(70, [*names(3), *other])
    assert story.held == {}
    assert len(story.at(80, [*names(3), "2/r1"]).held) == 3


@pytest.mark.parametrize("goes", ["drains", "is held"])
def test_one_that_joined_later_was_no_part_of_an_earlier_peak(goes: str) -> None:
    """Seven at first, six of them and a new one then: without that one the peak is still seven."""
    story = Story().at(0, names(7)).at(5, names(6)).at(10, [*names(6), "n1"])
    story.at(20, names(6), draining=["n1"]) if goes == "drains" else story.at(20, names(6), approved=True)
    assert len(story.at(30, names(3)).held) == 3


def test_one_that_is_out_is_not_spared_in_place_of_one_that_drains() -> None:
    story = Story().at(0, ["r2"], critical=["r1"]).at(10, [], draining=["r2"], critical=["r1"])
    assert story.target == ["r2"]


def test_of_a_set_that_was_never_seen_the_peak_is_none() -> None:
    assert Group().peak(0.0) == 0


def test_a_sample_lasts_until_the_next_one() -> None:
    group = Group(((0.0, 5), (100.0, 9), (200.0, 7)))
    assert [group.peak(now) for now in (MEMORY, MEMORY + 200, MEMORY + 201, 2 * MEMORY + 200)] == [9, 9, 7, 7]
    group = Group(((0.0, 9), (100.0, 5), (200.0, 7)))
    assert [group.peak(now) for now in (MEMORY, MEMORY + 100, MEMORY + 101, MEMORY + 200, MEMORY + 201)] == [
        9,
        9,
        7,
        7,
        7,
    ]


def test_nobody_is_excused_more_often_than_counted() -> None:
    assert Group(((0.0, 1), (5.0, 0))).excused(0.0, 9.0).samples == ((0.0, 0), (5.0, 0))


def test_a_hold_ends_early_only_within_the_memory_of_the_peak() -> None:
    """Live back at the peak means the loss was made good; the peak of a loss longer ago is forgotten."""
    for later, held in ((0.0, 0), (1.0, 3)):
        story = Story(Limits(hold_for=10 * MEMORY)).at(0, names(4)).at(10, names(1))
        assert len(story.held) == 3
        assert len(story.at(10 + MEMORY + later, [*names(1), "n1", "n2", "n3"]).held) == held


def test_a_sample_is_kept_for_each_change_of_the_members() -> None:
    first = Group().sampled(0.0, 2, changed=False)
    assert first.samples == ((0.0, 2),)
    assert first.sampled(5.0, 2, changed=False).samples == ((0.0, 2),)
    assert first.sampled(5.0, 2).samples == ((0.0, 2), (5.0, 2))
    assert first.sampled(5.0, 3, changed=False).samples == ((0.0, 2), (5.0, 3))
    story = Story().at(0, ["a", "b"]).at(5, ["a", "b"]).at(9, ["a", "b"]).at(10, ["a", "c"])
    assert story.past.groups["1"].samples == story.past.groups[WHOLE].samples == ((0, 2), (10, 2))


def test_what_happened_just_within_the_memory_counts_still() -> None:
    story = Story().at(0, names(3)).at(10, [*names(3), "n1"]).at(10 + MEMORY, names(4))
    assert story.past.joined[("1", "n1")] == 10
    story = Story().at(0, names(3)).at(10, names(2)).at(10 + MEMORY, names(2))
    assert story.past.leaves == {("1", "r3"): (10,)}


def test_a_set_that_the_memory_lacks_counts_as_in_the_last_release_and_the_others_as_remembered() -> None:
    story = Story().at(0, names(12)).at(1, names(8))
    story.last = make_release([*(record(name) for name in names(8)), *(record(name) for name in names(3, of="2/r"))])
    story.at(10, [*names(5), *names(2, of="2/r")])
    assert story.past.groups[WHOLE].samples[:3] == ((0, 12), (1, 8), (10, 11))
    assert story.past.groups["2"].samples == ((10, 3), (10, 2))
    assert story.past.leaves[("2", "r3")] == (10,)


def test_nothing_goes_on_an_operators_word_that_was_not_given() -> None:
    one = record("r1")
    assert decide([], make_release([one]), Past(), Limits(), 0.0).kept == (one,)
