"""What rule 7 of design.md promises for every history of answers, whatever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.guards import Limits
from consul_kam.core.records import Use
from tests.core.story import Story

NAMES = ("a", "b", "c", "2/a", "2/b")
Said = dict[str, Use]
"""Name -> use; a name that is not there is absent."""

answers = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([Use.IN, Use.IN, Use.IN, *Use]))
pauses = st.sampled_from([0.0, 1.0, 20.0, 60.0, 300.0, 601.0])
histories = st.lists(st.tuples(pauses, answers), min_size=1, max_size=8)
limits = st.builds(
    Limits,
    min_records=st.sampled_from([1, 1, 2]),
    max_shrink=st.sampled_from([0.0, 0.5, 1.0]),
    hold_for=st.sampled_from([0.0, 60.0]),
    min_callable=st.integers(1, 2),
    probing=st.booleans(),
)


def told(story: Story, now: float, said: Said, approved: bool = False) -> Story:
    by_use = {use: [name for name, its in said.items() if its is use] for use in Use}
    return story.at(now, by_use[Use.IN], by_use[Use.DRAINING], by_use[Use.OUT], by_use[Use.DISABLED], approved)


def of(group: str, names: list[str]) -> set[str]:
    return {name for name in names if (name[:2] == "2/") == (group == "2")}


@given(histories, limits)
def test_additions_are_never_delayed_and_nothing_unknown_is_added(
    history: list[tuple[float, Said]], by: Limits
) -> None:
    story, now = Story(by), 0.0
    for pause, said in history:
        now += pause
        before = set(story.target) if story.last else set()
        told(story, now, said)
        live = {name for name, use in said.items() if use is Use.IN}
        assert live <= set(story.target)
        assert set(story.target) - live == set(story.held) | set(story.spared)
        assert set(story.held) <= before - live
        assert not any(said.get(name) is Use.DRAINING for name in story.held)


@given(histories, limits)
def test_a_set_in_use_is_never_emptied_without_an_operators_word(history: list[tuple[float, Said]], by: Limits) -> None:
    story, now = Story(by), 0.0
    for pause, said in history:
        now += pause
        before = {group: of(group, story.target) if story.last else set() for group in "12"}
        told(story, now, said)
        for group, used in before.items():
            assert not used or of(group, story.target)


@given(histories, limits)
def test_below_min_records_whatever_does_not_drain_stays(history: list[tuple[float, Said]], by: Limits) -> None:
    story, now = Story(by), 0.0
    for pause, said in history:
        now += pause
        served = [name for name in story.target if name not in story.spared] if story.last else []
        before = {group: of(group, served) for group in "12"}
        told(story, now, said)
        for group, used in before.items():
            live = of(group, [name for name, use in said.items() if use is Use.IN])
            if len(live) < by.min_records:
                leaving = {name for name in used if said.get(name) not in (Use.IN, Use.DRAINING)}
                assert leaving <= set(story.held)
                assert all(story.held[name] is None for name in leaving)


@given(histories, limits)
def test_each_hold_ends_in_the_end(history: list[tuple[float, Said]], by: Limits) -> None:
    """Where enough are live: when it says, without a word from anybody; and `wake` is the next such moment."""
    story, now = Story(by), 0.0
    for pause, said in history:
        now += pause
        told(story, now, said)
        ends = [until for until in story.held.values() if until is not None]
        assert all(now < until <= now + by.hold_for for until in ends)
        assert story.wake == min(ends, default=None)
    while story.wake is not None:
        now = story.wake
        left = len(story.held)
        told(story, now, history[-1][1])
        assert len(story.held) < left
    assert set(story.held.values()) <= {None}


@given(histories, limits)
def test_approved_all_that_is_held_goes_and_all_that_drains_is_disabled(
    history: list[tuple[float, Said]], by: Limits
) -> None:
    story, now = Story(by), 0.0
    for pause, said in history:
        now += pause
        told(story, now, said)
    said = history[-1][1]
    live = sorted(name for name, use in said.items() if use is Use.IN)
    for later, approved in ((1.0, True), (2.0, False), (700.0, False)):
        told(story, now + later, said, approved)
        assert sorted(story.target) == live
        assert set(story.off) == {name for name, use in said.items() if use in (Use.DRAINING, Use.DISABLED)}


@given(histories, limits)
def test_a_new_engine_for_each_answer_decides_the_same(history: list[tuple[float, Said]], by: Limits) -> None:
    one, many, now = Story(by), Story(by, restarts=True), 0.0
    for pause, said in history:
        now += pause
        assert told(one, now, said).said == told(many, now, said).said


@given(histories, limits, st.integers(0, 7))
def test_a_lost_memory_empties_no_set(history: list[tuple[float, Said]], by: Limits, at: int) -> None:
    """Not at once, and not with the answers that follow."""
    story, now = Story(by), 0.0
    for number, (pause, said) in enumerate(history):
        now += pause
        if number == at:
            story.past = type(story.past)()
        before = {group: of(group, story.target) if story.last else set() for group in "12"}
        told(story, now, said)
        for group, used in before.items():
            assert not used or of(group, story.target)
