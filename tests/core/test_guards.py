"""Rule 7 of design.md: what is held, for how long, and what never is. Times in seconds, said explicitly."""

import pytest

from consul_kam.core.guards import Limits, Past
from tests.core.story import Story, names


@pytest.fixture(params=[False, True], ids=["one engine", "an engine for each answer"])
def story(request: pytest.FixtureRequest) -> Story:
    return Story(restarts=request.param)


def test_from_ten_to_one_the_first_half_goes_at_once_each_other_one_a_minute_later(story: Story) -> None:
    story.at(0, names(10))
    for step, left in enumerate(range(9, 4, -1)):
        assert story.at(20 + 20 * step, names(left)).target == sorted(names(left))
    assert story.at(120, names(4)).held == {"r5": 180}
    assert story.at(140, names(3)).held == {"r4": 200, "r5": 180}
    assert story.at(160, names(2)).held == {"r3": 220, "r4": 200, "r5": 180}
    assert story.wake == 180
    assert story.reasons == {f"set 1 fell from 10 to {n} within 10 min" for n in (4, 3, 2)}
    assert story.at(180, names(1)).held == {"r2": 240, "r3": 220, "r4": 200}
    assert story.at(200, names(1)).target == names(3)
    assert story.at(220, names(1)).target == names(2)
    assert story.at(239.9, names(1)).target == names(2)
    assert (story.at(240, names(1)).target, story.wake) == (names(1), None)


@pytest.mark.parametrize(
    ("probing", "how", "held"),
    [
        (True, "critical", {"r2": 70, "r3": 70}),
        (True, "absent", {"r2": 70, "r3": 70}),
        (False, "absent", {"r2": 70, "r3": 70}),
        (False, "critical", {}),
    ],
)
def test_three_to_one(story: Story, probing: bool, how: str, held: dict[str, float]) -> None:
    """Without probing nobody would keep calls from a critical record."""
    story.limits = Limits(probing=probing)
    story.at(0, names(3)).at(10, names(1), critical=names(2, 3) if how == "critical" else ())
    assert story.held == held


def test_critical_without_probing_the_last_ones_are_held_all_the_same(story: Story) -> None:
    story.at(0, names(3)).at(10, names(1), critical=names(2, 3)).at(20, [], critical=names(3))
    assert story.held == {"r1": None}
    assert story.reasons == {"only 0 left, at least 1 wanted"}
    two = Story(Limits(min_records=2), story.restarts).at(0, names(3)).at(10, names(1), critical=names(2, 3))
    assert two.held == {"r2": None, "r3": None}
    none = Story(Limits(min_records=0), story.restarts).at(0, names(1)).at(10, [], critical=names(1))
    assert none.held == {"r1": 70}


def test_to_none_all_stay_until_one_comes_back_and_a_minute_longer(story: Story) -> None:
    assert story.at(0, names(3)).at(10, []).held == {"r1": None, "r2": None, "r3": None}
    assert story.wake is None
    assert story.at(5000, []).target == names(3)
    assert story.at(5010, ["r2"]).held == {"r1": 5070, "r3": 5070}
    assert story.wake == 5070
    assert story.at(5069, ["r2"]).target == names(3)
    assert story.at(5070, ["r2"]).target == ["r2"]


def test_the_minute_counts_from_the_last_moment_below_min_records(story: Story) -> None:
    """r2 and r3 left at 10, but from 30 to 50 nobody was left."""
    assert story.at(0, names(3)).at(10, names(1)).held == {"r2": 70, "r3": 70}
    assert story.at(30, []).held == {"r1": None, "r2": None, "r3": None}
    assert story.at(50, names(1)).held == {"r2": 110, "r3": 110}
    assert story.at(110, names(1)).target == names(1)


def test_blue_to_green_green_first_holds_nothing(story: Story) -> None:
    story.at(0, names(3)).at(10, [*names(3), *names(3, of="g")])
    assert story.at(20, names(3, of="g")).target == names(3, of="g")


def test_blue_to_green_blue_first_holds_blue_until_green_is_there(story: Story) -> None:
    assert story.at(0, names(3)).at(10, []).target == names(3)
    assert story.at(20, ["g1"]).target == ["g1", *names(3)]
    assert story.at(30, names(3, of="g")).target == names(3, of="g")


def test_blue_to_green_at_once(story: Story) -> None:
    assert story.at(0, names(3)).at(10, names(3, of="g")).target == names(3, of="g")


def test_drained_records_leave_at_once_and_nobody_else_is_held_for_it(story: Story) -> None:
    story.at(0, names(10)).at(10, names(1), draining=names(2, 10))
    assert (story.off, story.held) == (sorted(names(2, 10)), {})
    assert story.at(20, names(1)).target == names(1)
    story.at(30, [*names(1), *names(3, of="g")])
    assert story.at(40, names(2, of="g")).held == {}


def test_what_a_list_keeps_in_maintenance_is_in_use_and_leaves_at_once(story: Story) -> None:
    story.at(0, names(3)).at(10, ["r1"], kept=names(2, 3))
    assert (story.target, story.kept, story.off, story.held) == (["r1"], names(2, 3), [], {})
    story.at(20, [], kept=["r1"])
    assert (story.kept, story.spared, story.held) == (["r1"], [], {})
    assert (story.at(30, []).target, story.kept, story.held) == ([], [], {})


def test_one_joins_while_others_are_held(story: Story) -> None:
    story.at(0, names(10)).at(10, names(1))
    story.at(20, ["r1", "n1"])
    assert story.target == sorted(["n1", *names(10)])
    assert set(story.held.values()) == {70}


def test_one_that_leaves_for_the_third_time_in_ten_minutes_is_held(story: Story) -> None:
    story.at(0, names(10))
    for now in (10, 30):
        assert story.at(now, names(9)).target == names(9)
        story.at(now + 10, names(10))
    assert story.at(50, names(9)).held == {"r10": 110}
    assert story.reasons == {"it left 3 times within 10 min"}
    assert story.at(109, names(9)).held == {"r10": 110}
    assert story.at(110, names(9)).target == names(9)


def test_one_that_leaves_now_and_then_is_not_held(story: Story) -> None:
    story.at(0, names(10))
    for now in (10, 310, 611, 912):
        assert story.at(now, names(9)).held == {}
        story.at(now + 10, names(10))


def test_a_drain_between_two_leavings_does_not_hide_them(story: Story) -> None:
    story.at(0, names(10)).at(10, names(9)).at(20, names(10)).at(30, names(9)).at(40, names(10))
    story.at(50, names(9), draining=["r10"]).at(60, names(10))
    assert story.at(70, names(9)).held == {"r10": 130}


def test_the_last_ones_that_can_take_calls_are_not_disabled_but_named(story: Story) -> None:
    story.at(0, names(3)).at(10, [], draining=names(3))
    assert (story.spared, story.target, story.off, story.held) == (["r1"], ["r1"], ["r2", "r3"], {})
    story.at(20, ["n1"], draining=names(3))
    assert (story.spared, story.target, story.off) == ([], ["n1"], names(3))


def test_the_one_that_was_not_disabled_before_is_the_one_to_be_spared(story: Story) -> None:
    story.at(0, names(3)).at(10, ["r3"], draining=names(2)).at(20, [], draining=names(3))
    assert (story.spared, story.off) == (["r3"], names(2))


def test_min_callable_counts_the_live_ones(story: Story) -> None:
    story.limits = Limits(min_callable=2)
    story.at(0, names(3)).at(10, ["r3"], draining=names(2))
    assert (story.target, story.off) == (["r1", "r3"], ["r2"])


def test_critical_ones_that_are_kept_disabled_are_held_or_spared_likewise(story: Story) -> None:
    story.at(0, names(2)).at(10, ["r1"], disabled=["r2"])
    assert (story.target, story.off) == (["r1"], ["r2"])
    story.at(20, [], disabled=names(2))
    assert (story.target, story.spared, story.held) == (names(2), ["r2"], {"r1": None})


def test_a_set_of_critical_ones_from_the_start_is_spared_not_held(story: Story) -> None:
    for now in (0, 10):
        story.at(now, ["r1"], disabled=["2/r1", "2/r2"])
        assert (story.spared, story.held, story.off) == (["2/r1"], {}, ["2/r2"])


def test_approved_the_last_ones_are_disabled_and_stay_so(story: Story) -> None:
    """Not one disabled, and the other spared in its place a moment later."""
    story.at(0, names(2)).at(10, [], draining=names(2))
    assert story.spared == ["r1"]
    assert story.at(20, [], draining=names(2), approved=True).off == names(2)
    assert story.at(30, [], draining=names(2)).off == names(2)
    story.at(40, ["r1"], draining=["r2"])
    assert story.at(50, [], draining=names(2)).spared == ["r1"]


def test_an_approval_covers_the_sets_that_it_was_asked_for(story: Story) -> None:
    story.at(0, ["r1", "2/r1", "2/r2"]).at(10, ["2/r1"], draining=["r1", "2/r2"])
    story.at(20, ["2/r1"], draining=["r1", "2/r2"], approved=True)
    assert story.at(30, [], draining=["r1", "2/r1", "2/r2"]).spared == ["2/r1"]


def test_approve_ends_the_holds_and_nothing_is_held_again_for_it(story: Story) -> None:
    story.at(0, names(10)).at(10, names(2))
    assert len(story.held) == 8
    assert story.at(20, names(2), approved=True).target == names(2)
    assert story.at(30, names(1)).target == names(1)
    assert story.at(40, []).at(50, [], approved=True).target == []


def test_live_back_at_its_peak_ends_the_holds(story: Story) -> None:
    assert len(story.at(0, names(4)).at(10, names(1)).held) == 3
    assert len(story.at(20, [*names(1), *names(2, of="n")]).held) == 3
    assert story.at(30, [*names(1), *names(3, of="n")]).held == {}


def test_a_held_record_that_returns_is_not_held_any_more(story: Story) -> None:
    story.at(0, names(4)).at(10, names(1)).at(20, names(2))
    assert story.held == {"r3": 70, "r4": 70}


def test_a_peak_is_forgotten_after_ten_minutes(story: Story) -> None:
    for now, held in ((609, 3), (610, 3), (610.1, 0)):
        story.past, story.last = Past(), None
        story.at(0, names(10)).at(10, names(6))
        assert len(story.at(now, names(3)).held) == held, now


def test_a_hold_that_ended_leaves_the_count_of_the_others_alone(story: Story) -> None:
    """r4's end must not make r1, the only live one, count as gone."""
    story.at(0, names(4)).at(10, names(3)).at(15, names(2)).at(20, names(1))
    assert story.held == {"r2": 80}
    story.past, story.last = Past(), None
    story.at(0, names(4)).at(10, names(1, of="r")).at(20, ["r1", "n1"]).at(30, ["r1"])
    assert story.held == {"n1": 90, "r2": 70, "r3": 70, "r4": 70}
    assert story.at(70, ["r1"]).held == {"n1": 90}
    assert story.at(80, ["r1"]).held == {"n1": 90}
    assert story.at(90, ["r1"]).target == ["r1"]


def test_one_that_came_as_another_left_counts(story: Story) -> None:
    """The number of live records stayed the same, but r3's end is no end of n1."""
    swapped = [*names(2), "n1"]
    story.at(0, names(3)).at(10, swapped).at(20, names(3)).at(30, swapped).at(40, names(3))
    assert story.at(50, swapped).held == {"r3": 110}
    assert story.at(60, swapped).held == {}
    assert story.at(70, names(1)).held == {"r2": 130, "n1": 130}


def test_min_records_is_configured_per_set(story: Story) -> None:
    story.limits = Limits(min_records=3)
    story.at(0, [*names(4), *names(3, of="2/r")])
    assert story.at(10, [*names(3), *names(3, of="2/r")]).held == {}
    assert story.at(20, [*names(3), *names(2, of="2/r")]).held == {"2/r3": None}
    assert story.at(30, [*names(2), *names(2, of="2/r")]).held == {"r3": None, "2/r3": None}
    assert story.at(40, [*names(2), "n1", *names(2, of="2/r")]).held == {"r3": 100, "2/r3": None}


def test_with_min_records_0_an_emptied_set_goes_a_minute_later(story: Story) -> None:
    story.limits = Limits(min_records=0)
    assert story.at(0, names(2)).at(10, []).held == {"r1": 70, "r2": 70}
    assert story.at(70, []).target == []


def test_a_whole_set_that_vanishes_stays(story: Story) -> None:
    story.at(0, [*names(3), *names(2, of="2/r")]).at(10, names(3))
    assert story.held == {"2/r1": None, "2/r2": None}


def test_a_set_that_was_never_filled_may_be_empty(story: Story) -> None:
    assert story.at(0, []).target == []
    assert story.at(10, [], critical=names(2)).target == []


def test_all_together_counts_where_the_set_itself_would_pass(story: Story) -> None:
    story.at(0, [*names(2), *names(8, of="2/r")]).at(10, names(1))
    assert story.held["r2"] == 70
    assert "all together fell from 10 to 1 within 10 min" in story.reasons


@pytest.mark.parametrize(("shrink", "left", "held"), [(0.7, 3, 0), (0.7, 2, 8), (0.9, 1, 0), (0.3, 7, 0), (0.3, 6, 4)])
def test_max_shrink_is_meant_as_written(story: Story, shrink: float, left: int, held: int) -> None:
    """Ten less 70 % are three, though 1 - 0.7 is a little more than 0.3 in binary."""
    story.limits = Limits(max_shrink=shrink)
    assert len(story.at(0, names(10)).at(10, names(left)).held) == held


def test_newly_held_is_said_once(story: Story) -> None:
    story.at(0, names(3)).at(10, names(1))
    assert story.said is not None
    assert story.said.newly_held == (("1", "r2"), ("1", "r3"))
    story.at(10, names(1))
    assert story.said.newly_held == ()


def test_with_its_memory_lost_the_last_release_is_what_counts() -> None:
    story = Story().at(0, [*names(3), "2/r1"])
    story.past = Past()
    assert story.at(1000, names(1)).held == {"r2": 1060, "r3": 1060, "2/r1": None}


def test_a_memory_older_than_the_last_release_is_completed_from_it() -> None:
    """Killed between publishing a release with a new set and remembering it."""
    story = Story().at(0, names(3))
    old = story.past
    story.at(10, [*names(3), *names(2, of="2/r")])
    story.past = old
    assert story.at(20, names(3)).held == {"2/r1": None, "2/r2": None}
