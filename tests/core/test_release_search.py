"""Exhaustive search: small worlds, any three faults at any point, and the right list in the end."""

from collections import deque
from dataclasses import replace

import pytest

from consul_kam.core.events import Phase, Tick, Wanted
from consul_kam.core.records import Seen
from consul_kam.core.release import TABLE
from consul_kam.core.state import GOES
from tests.core.faults import crashed, faults
from tests.core.shell import SEEN, Broken, onward, planned, tell
from tests.core.world import Row, Universe, World, fresh, release

A, B, C = Row("a"), Row("b"), Row("c")
LISTS = Universe(versions=((A, B), (A, Row("b", "other"), C), (C,)))
DRAIN = Universe(versions=((A, B), (A, Row("b", disabled=True)), (A, B)))
GOES_AND_RETURNS = Universe(versions=((A, Row("b", disabled=True)), (A,), (A, B)))
REFUSED = Universe(versions=((A,), (A, Row("x"), C), (C, Row("x"))), refuses="x")
INSISTS = replace(REFUSED, insists=True)
GARBLED = Universe(versions=((A, B), (A, Row("b", "bad")), (A, C)), garbles="bad")
KEYS = replace(LISTS, by_key=True)
KEYS_REFUSED = replace(REFUSED, versions=((A,), (A, C, Row("x")), (C, Row("x"))), by_key=True)
KEYS_GARBLED = replace(GARBLED, by_key=True)
FAULTS = 3
STEPS = 60
"""More than any run without further faults may take."""


def explore(starts: list[World], budget: int) -> dict[World, tuple[World | None, str]]:
    """Every world that up to `budget` faults lead to, and where it was first come from.

    Worlds with more faults to spare go first: what they reach, those with fewer need not visit again.
    """
    seen: dict[World, tuple[World | None, str]] = dict.fromkeys(starts, (None, ""))
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
    """Run on without faults: all worlds on the way join the good ones where the end, or the endless round, is right."""
    path: dict[World, None] = {}
    world = start
    while world not in good:
        if world in path:
            wrong = unlike_a_stand_in([*path][[*path].index(world) :])
            break
        path[world] = None
        assert len(path) <= STEPS, f"no end after {STEPS} steps: {story(start, seen)}"
        ahead = onward(world)
        if ahead is None:
            wrong = unlike_the_newest(world)
            break
        world = ahead
    else:
        wrong = ""
    assert not wrong, f"{wrong}: {story(start, seen)}\nends as {world}"
    good.update(path)


def unlike_a_stand_in(circle: list[World]) -> str:
    """What is wrong with worlds that follow each other for ever: right where the newest cannot be loaded at all."""
    degraded = [world for world in circle if world.engine.phase is Phase.DEGRADED]
    if not degraded or any(world.universe.loads(world.staged) for world in degraded):
        return "no end"
    for world in degraded:
        newest, lkg = world.engine.newest, world.lkg
        if newest is None or newest.digest != planned(world).digest:
            return "the newest release was forgotten"
        if lkg is None:
            continue
        should = tuple(Seen(r.key, r.seen, disabled=r.key in lkg.disabled | world.by_operator) for r in lkg.records)
        if (world.memory, world.live.canonical) != (should, lkg.digest):
            return "the last known good does not stand in"
    return ""


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
    [
        pytest.param(LISTS, 15_000, id="lists"),
        pytest.param(DRAIN, 15_000, id="drain"),
        pytest.param(GOES_AND_RETURNS, 15_000, id="goes and returns"),
        pytest.param(REFUSED, 30_000, id="refused"),
        pytest.param(INSISTS, 15_000, id="refused, and the guards insist"),
        pytest.param(GARBLED, 15_000, id="garbled"),
        pytest.param(KEYS, 9_000, id="key by key"),
        pytest.param(KEYS_REFUSED, 9_000, id="key by key, refused"),
        pytest.param(KEYS_GARBLED, 9_000, id="key by key, garbled"),
    ],
)
def test_three_faults_and_the_right_list_in_the_end(universe: Universe, least: int) -> None:
    assert search(universe) >= least


def test_each_handler_leads_where_it_declares_to_and_nowhere_else() -> None:
    """What `step` refuses can not be seen here; what is declared and never happens can."""
    for universe in (LISTS, REFUSED, GARBLED):
        search(universe, budget=2)
    unset = tell(fresh(LISTS), Tick())
    onward(unset)
    led: dict[str, set[Phase]] = {}
    for before, event, after in SEEN:
        led.setdefault(TABLE[before][event].__name__, set()).add(after)
    assert {name: phases for name, phases in GOES.items() if not set(phases) <= led.get(name, set())} == {}
    pairs = {(phase, event) for phase, row in TABLE.items() for event in row}
    assert pairs - {(before, event) for before, event, _ in SEEN} == set()
