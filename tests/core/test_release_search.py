"""Exhaustive search: small worlds, any three faults at any point, and the right list in the end."""

from collections import deque
from dataclasses import replace

import pytest

from consul_kam.core.events import Phase, Wanted
from consul_kam.core.records import Seen
from tests.core.world import Broken, Row, Universe, World, crashed, faults, fresh, onward, planned, release, tell

A, B, C = Row("a"), Row("b"), Row("c")
LISTS = Universe(versions=((A, B), (A, Row("b", "other"), C), (C,)))
DRAIN = Universe(versions=((A, B), (A, Row("b", disabled=True)), (A, B)))
GOES_AND_RETURNS = Universe(versions=((A, Row("b", disabled=True)), (A,), (A, B)))
REFUSED = Universe(versions=((A,), (A, Row("x"), C), (C, Row("x"))), refuses="x")
GARBLED = Universe(versions=((A, B), (A, Row("b", "bad")), (A, C)), garbles="bad")
FAULTS = 3
STEPS = 60
"""More than any run without further faults may take."""


def explore(starts: list[World], budget: int) -> dict[World, tuple[World | None, str]]:
    """Every world that up to `budget` faults lead to, and where it was first come from.

    Worlds with more faults to spare go first: what they reach, those with fewer need not visit again.
    """
    seen: dict[World, tuple[World | None, str]] = {start: (None, "") for start in starts}
    level = starts
    for left in range(budget, -1, -1):
        queue, below = deque(level), []
        while queue:
            world = queue.popleft()
            ahead = _next(world, seen)
            if ahead is not None and ahead not in seen:
                seen[ahead] = (world, "onward")
                queue.append(ahead)
            if left:
                below.append(world)
        level = []
        for world in below:
            for name, other in _faults(world, seen):
                if other not in seen:
                    seen[other] = (world, name)
                    level.append(other)
    return seen


def _next(world: World, seen: dict[World, tuple[World | None, str]]) -> World | None:
    try:
        return onward(world)
    except Broken as broken:
        raise AssertionError(f"{broken}\n{story(world, seen)}") from broken


def _faults(world: World, seen: dict[World, tuple[World | None, str]]) -> list[tuple[str, World]]:
    try:
        return list(faults(world))
    except Broken as broken:
        raise AssertionError(f"{broken}\n{story(world, seen)}") from broken


def story(world: World, seen: dict[World, tuple[World | None, str]]) -> str:
    """How the search came here."""
    steps = []
    at: World | None = world
    while at is not None:
        at, name = seen[at]
        steps.append((name, at))
    names = [name for name, _ in reversed(steps)]
    return " > ".join(names) + f"\n{world}"


def runs_out(start: World, good: set[World], seen: dict[World, tuple[World | None, str]]) -> None:
    """Run on without faults: all worlds on the way join the good ones where the end is right."""
    path = []
    world = start
    while world not in good:
        path.append(world)
        if len(path) > STEPS:
            raise AssertionError(f"no end after {STEPS} steps: {story(start, seen)}")
        ahead = onward(world)
        if ahead is None:
            if wrong := unlike_the_newest(world):
                raise AssertionError(f"{wrong}: {story(start, seen)}\nends as {world}")
            break
        world = ahead
    good.update(path)


def unlike_the_newest(world: World) -> str:
    """What is wrong at rest; said without the machine's own comparison."""
    rows = [row for row in world.universe.versions[world.staged] if row.name != world.universe.refuses]
    rests = {
        "phase": (world.engine.phase, Phase.IDLE),
        "memory": (
            world.memory,
            tuple(Seen(r.key, (r.value,), disabled=r.disabled or r.key in world.by_operator) for r in rows),
        ),
        "live file": (world.live.rows, tuple(Seen(r.key, (r.value,), disabled=r.disabled) for r in rows)),
        "canonical": (world.live.canonical, release(tuple(rows)).digest),
        "last known good": (world.lkg and world.lkg.digest, release(tuple(rows)).digest),
        "marks": (world.live.ours, world.engine.ours),
        "stray marks": (world.live.ours - {r.key for r in rows if r.disabled}, frozenset()),
        "missing marks": (
            {r.key for r in rows if r.disabled} - world.live.ours - world.by_operator,
            set(),
        ),
    }
    return ", ".join(f"{what} is {is_}, not {should}" for what, (is_, should) in rests.items() if is_ != should)


def quiet(universe: Universe) -> World:
    """The first version published, and nothing under way."""
    world = tell(fresh(universe), Wanted(release(universe.versions[0])))
    while (ahead := onward(world)) is not None:
        world = ahead
    return world


def starts(universe: Universe) -> list[World]:
    """A first start with an empty Kamailio, and a second version that comes to a quiet system."""
    second = replace(quiet(universe), staged=1)
    return [crashed(fresh(universe)), tell(second, Wanted(planned(second)))]


def search(universe: Universe, budget: int = FAULTS) -> int:
    """The number of worlds, each with the right end."""
    seen = explore(starts(universe), budget)
    good: set[World] = set()
    for world in seen:
        runs_out(world, good, seen)
    return len(seen)


@pytest.mark.parametrize(
    ("universe", "least"),
    [(LISTS, 1000), (DRAIN, 1000), (GOES_AND_RETURNS, 1000), (REFUSED, 1000)],
    ids=["lists", "drain", "goes and returns", "refused"],
)
def test_three_faults_and_the_right_list_in_the_end(universe: Universe, least: int) -> None:
    assert search(universe) >= least
