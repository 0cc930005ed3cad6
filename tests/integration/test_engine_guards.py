"""The guards against real programs: what leaves at once, what is held, and when a hold ends. Design.md 3, rule 7."""

import json
import time

from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.world import BASE, World, flags, uri

SHORT = "hold_for = 4"
LONG = "hold_for = 60"


def test_ten_to_one_one_by_one_holds_below_half(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=LONG)
    world.add(*range(1, 11))
    world.expect(*range(1, 11))
    for number in range(10, 5, -1):
        world.remove(number)
        world.expect(*range(1, number))
    since = world.expect(1, 2, 3, 4, 5)
    world.remove(5)
    world.said("HELD", held=[5])
    world.remove(4, 3, 2)
    world.said("HELD", held=[2, 3, 4, 5])
    assert world.seen.never(lambda memory: len(uris(memory)) < 5, since)
    world.engine.ask("approve")
    world.expect(1)
    assert world.rest()["held"] == []


def test_three_to_one_without_probing_keeps_them_for_hold_for(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=SHORT)
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.remove(2)
    world.expect(1, 3)
    world.remove(3)
    assert world.said("HELD", held=[3])["records"] == 2
    world.expect(1)
    assert world.seen.never(lambda memory: flags(memory, 3) not in ("AX", ""))


def test_three_to_one_with_probing_lets_the_held_wait_for_a_probe(lab: Lab, consul: ConsulAgent) -> None:
    kam = {"ping_interval": 1, "fr_timer": 300}
    world = World(lab, consul, kam, dispatcher=LONG, kamailio_lines="min_gap = 0.02\nprobing = true")
    _, _, back = lab.uas(BASE + 51), lab.uas(BASE + 52), lab.uas(BASE + 53)
    world.add(51, 52, 53)
    world.expect_flags(r51="AP", r52="AP", r53="AP")
    world.remove(52)
    world.expect(51, 53)
    back.silent = True
    world.remove(53)
    world.said("HELD", held=[53])
    world.expect_flags(r51="AP", r53="IP")
    back.silent = False
    world.expect_flags(r51="AP", r53="AP")


def test_to_none_and_one_comes_back(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=SHORT)
    world.add(1, 2)
    since = world.expect(1, 2)
    world.at_once(lambda: world.remove(1, 2))
    world.said("HELD", held=[1, 2])
    world.add(2)
    world.said("HELD", held=[1])
    world.expect(2)
    assert world.seen.never(lambda memory: uri(2) not in uris(memory), since)


def test_none_at_all_is_never_believed(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher="hold_for = 0.3")
    world.add(1)
    since, began = world.expect(1), time.time()
    world.remove(1)
    world.said("HELD", held=[1])
    wait_for("five times hold_for", lambda: world.engine.ask("apply") and time.time() > began + 1.5, 10)
    assert world.engine.status()["held"][0]["until"] is None
    assert world.seen.never(lambda memory: not uris(memory), since)
    world.engine.ask("approve")
    world.seen.wait_until(lambda memory: not uris(memory), 10)


def test_blue_to_green(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=LONG)
    world.add(1, 2, 3)
    since = world.expect(1, 2, 3)
    world.add(11, 12, 13)
    world.expect(1, 2, 3, 11, 12, 13)
    world.remove(1, 2, 3)
    world.expect(11, 12, 13)
    assert world.seen.never(lambda memory: len(uris(memory)) < 3, since)
    assert world.rest()["held"] == []


def test_drained_ones_leave_at_once_and_are_disabled_before(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=LONG)
    world.add(1, 2, 3, 4)
    since = world.expect(1, 2, 3, 4)
    for number in (2, 3, 4):
        world.drain(number)
        world.expect_flags(**{f"r{number}": "DX"})
    world.expect(1, 2, 3, 4)
    assert world.flags(1) == "AX"
    world.remove(2, 3, 4)
    world.expect(1)
    assert world.rest()["held"] == []
    assert world.seen.never(lambda memory: bool(memory) and flags(memory, 1) != "AX", since)


def test_all_drain_and_the_last_stays_callable_until_approve(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=LONG)
    world.add(1, 2)
    world.expect(1, 2)
    world.drain(1)
    world.expect_flags(r1="DX", r2="AX")
    world.drain(2)
    world.engine.wait("a spared one is named", lambda status: [n["key"] for n in status["named"]] == ["1 " + uri(2)])
    assert (world.flags(1), world.flags(2)) == ("DX", "AX")
    world.add(3)
    world.expect_flags(r1="DX", r2="DX", r3="AX")
    world.drain(3)
    world.engine.wait("the last one is named", lambda status: [n["key"] for n in status["named"]] == ["1 " + uri(3)])
    world.engine.ask("approve")
    world.expect_flags(r1="DX", r2="DX", r3="DX")


def test_one_joins_while_others_are_held(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=LONG)
    world.add(1, 2, 3, 4)
    world.expect(1, 2, 3, 4)
    world.remove(2)
    world.expect(1, 3, 4)
    world.at_once(lambda: world.remove(3, 4))
    world.said("HELD", held=[3, 4])
    world.add(5)
    world.expect(1, 3, 4, 5)
    world.engine.ask("approve")
    world.expect(1, 5)


def test_one_flaps_and_is_held_when_it_leaves_for_the_third_time(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=SHORT)
    world.add(1, 2, 3, 4)
    world.expect(1, 2, 3, 4)
    for _ in range(2):
        world.remove(4)
        world.expect(1, 2, 3)
        world.add(4)
        world.expect(1, 2, 3, 4)
    world.remove(4)
    assert world.said("HELD", held=[4])["records"] == 4
    world.expect(1, 2, 3)


def test_critical_ones_are_not_held_while_one_lives(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher=LONG)
    world.add(1, 2, 3, 4)
    world.expect(1, 2, 3, 4)
    for number in (2, 3, 4):
        consul.set_status(f"r{number:02d}", "critical")
    world.expect(1)
    consul.set_status("r01", "critical")
    world.said("HELD", held=[1])
    assert uris(world.kam.rpc.dispatcher()) == [uri(1)]


def test_a_hold_outlives_the_engine(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, dispatcher="hold_for = 15")
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.remove(2)
    world.expect(1, 3)
    world.remove(3)
    world.said("HELD", held=[3])
    world.rest()
    kept = world.engine.state / "releases/dispatcher/memory.json"
    wait_for("the hold on disk", lambda: json.loads(kept.read_text())["past"]["holds"], 10)
    world.engine.kill9()
    world.add(4)
    world.engine.start()
    world.expect(1, 3, 4)
    world.expect(1, 4, timeout=40)
