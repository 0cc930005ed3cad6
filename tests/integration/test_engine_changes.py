"""Many changes: none is lost, whatever window Kamailio keeps and whoever is restarted in the middle."""

import random
import time
from collections.abc import Callable

import pytest

from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.world import BASE, World, every_version, uri


def change(world: World, wanted: dict[int, int], chance: random.Random) -> None:
    """One router joins, changes its priority, or leaves: never below 12 of 20, so that nothing is held."""
    number = chance.randrange(1, 21)
    if number in wanted and len(wanted) > 12 and chance.random() < 0.3:
        del wanted[number]
        world.remove(number)
    else:
        wanted[number] = chance.randrange(1, 9)
        world.add(number, meta={"priority": str(wanted[number])})


def truth(consul: ConsulAgent) -> dict[int, int]:
    """Number -> priority, as Consul itself says: an agent that was killed may have forgotten its last moments."""
    found = consul.ask("GET", "/v1/health/service/router?passing")
    assert isinstance(found, list)
    services = [entry["Service"] for entry in found]
    return {service["Port"] - BASE: int(service["Meta"]["priority"]) for service in services}


def holds(world: World, timeout: float) -> None:
    """Memory ends as Consul has it; what left three times within ten minutes, and is held, goes by approve."""

    def right() -> bool:
        if world.engine.status()["held"]:
            world.engine.ask("approve")
        wanted = truth(world.consul)
        order = [uri(number) for number in sorted(wanted, key=lambda n: (-wanted[n], n))]
        memory = [(d.uri, d.priority) for d in (world.seen.now() or {}).get(1, [])]
        return len(order) >= 10 and memory == [(each, wanted[number_of(each)]) for each in order]

    wait_for("memory as Consul has it", right, timeout, every=0.05)
    world.rest()


def number_of(each: str) -> int:
    return int(each.rpartition(":")[2]) - BASE


@every_version
@pytest.mark.parametrize("delta", [None, 0])
def test_forty_changes_back_to_back(lab: Lab, consul: ConsulAgent, delta: int | None) -> None:
    """None: Kamailio's own 5 s."""
    world = World(lab, consul, {"reload_delta": delta}, kamailio_lines="" if delta is None else "min_gap = 0.02")
    wanted: dict[int, int] = {}
    chance = random.Random(40)
    for number in range(1, 17):
        wanted[number] = 5
        world.add(number, meta={"priority": "5"})
    for _ in range(40):
        change(world, wanted, chance)
    wait_for("Consul's catalog", lambda: truth(consul) == wanted, 10)
    holds(world, 30)
    assert "DEGRADED" not in world.engine.verdicts()  # "too soon" is a wait, no failure


def test_the_gap_between_two_writes_holds_and_the_newest_wins(lab: Lab, consul: ConsulAgent) -> None:
    gap, seconds = 0.25, 3.0
    world = World(lab, consul, kamailio_lines=f"min_gap = {gap}", templates=False)
    staged, new = world.engine.staging / "dispatcher", world.engine.staging / ".new"
    since, priority = time.monotonic(), 0
    while time.monotonic() < since + seconds:
        priority += 1
        new.write_text(f"1 {uri(1)} 0 {priority}\n1 {uri(2)} 0 0\n")
        new.rename(staged)
        time.sleep(0.01)
    ended = world.seen.wait_until(lambda memory: bool(memory) and memory[1][0].priority == priority, 15)
    loads = len(world.seen.since(since)) - 1
    assert 1 < loads <= (ended - since) / gap + 2
    assert priority > 3 * loads


def consul_template(world: World) -> None:
    world.ct.kill9()
    world.ct.start()


def agent(world: World) -> None:
    world.consul.stop()
    world.consul.start()


def kamailio(world: World) -> None:
    world.kam.kill9()
    world.kam.start()


def engine(world: World) -> None:
    world.engine.kill9()
    world.engine.start()


@pytest.mark.parametrize("restart", [consul_template, agent, kamailio, engine])
def test_three_hundred_changes_with_a_restart_in_the_middle(lab: Lab, restart: Callable[[World], None]) -> None:
    world = World(lab, lab.consul(persist=True))
    wanted: dict[int, int] = {}
    chance = random.Random(300)
    for number in range(1, 17):
        wanted[number] = 5
        world.add(number, meta={"priority": "5"})
    since = world.expect(*range(1, 17))
    for turn in range(300):
        if turn == 150:
            restart(world)
            for number, priority in wanted.items():  # TTL checks are critical after a restart of the agent
                world.add(number, meta={"priority": str(priority)})
        change(world, wanted, chance)
    if restart is not agent:
        wait_for("Consul's catalog", lambda: truth(world.consul) == wanted, 10)
    holds(world, 60)
    least = 1 if restart is agent else 8
    after = world.seen.since(since)
    assert all(len(uris(sample.value)) >= least for sample in after if sample.value) or restart is kamailio
