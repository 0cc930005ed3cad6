"""A storm: changes as fast as Consul takes them while Kamailio pings 200 destinations and calls go on.

Two writes close upon each other can crash Kamailio while its ping timer walks the list (kamailio-facts.md, 2): the
engine's own gap, here the default one, has to keep it alive. bench/gap.py finds how small a gap is too small.
"""

import itertools
import time

from tests.lab import ConsulAgent, Lab, uris
from tests.lab.world import BASE, World, uri

DESTINATIONS = 200
SECONDS = 60
ANSWERING = 8
"""Destinations that answer; the others are found dead by the probes."""


def test_kamailio_outlives_a_storm_with_pings_on(lab: Lab, consul: ConsulAgent) -> None:
    kam = {"ping_interval": 1, "fr_timer": 500, "shm": 128, "children": 4}
    world = World(lab, consul, kam, kamailio_lines="", dispatcher="max_shrink = 1")
    for number in range(1, ANSWERING + 1):
        lab.uas(BASE + number)
    for number in range(1, DESTINATIONS + 1):
        world.add(number)
    world.seen.wait_until(lambda memory: len(uris(memory)) == DESTINATIONS, 60)
    states = {f"r{number}": "AP" if number <= ANSWERING else "IP" for number in range(1, DESTINATIONS + 1)}
    world.expect_flags(60, **states)
    pid = world.kam.pid
    calls = lab.sipp(world.kam, rate=20, calls=20 * SECONDS)
    until = time.monotonic() + SECONDS
    changes = 0
    priorities = dict.fromkeys(range(1, DESTINATIONS + 1), 10)
    for number in itertools.cycle(range(1, DESTINATIONS + 1)):
        if time.monotonic() > until:
            break
        changes += 1
        priorities[number] = 1 + changes % 19
        world.add(number, meta={"priority": str(priorities[number])})
    order = [uri(number) for number in sorted(priorities, key=lambda n: (-priorities[n], uri(n)))]
    world.seen.wait_until(lambda memory: uris(memory) == order, 60)
    counted = calls.wait(60)
    assert (world.kam.pid, world.kam.alive(), world.kam.answers_options(2.0)) == (pid, True, True)
    assert changes > DESTINATIONS
    assert counted.successful > 10 * SECONDS, counted
    world.verdict("PUBLISHED", 60)
