"""States belong to Kamailio and its operator: they ride through every change; only our own disabling ends by us."""

from tests.lab import ConsulAgent, Lab, uris
from tests.lab.world import BASE, World, every_version, flags, uri

pytestmark = every_version

PROBED = {"ping_interval": 1, "fr_timer": 5000}


def churn(world: World, changes: int) -> None:
    """So many changes, one by one, each in memory before the next; at the end router 9 is there."""
    for turn in range(changes):
        world.add(9, meta={"priority": str(turn)})
        world.seen.wait_until(
            lambda memory, turn=turn: any(d.uri == uri(9) and d.priority == turn for d in memory[1]),  # type: ignore[misc]
            15,
        )


def test_dead_and_disabled_survive_fifty_changes(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, PROBED)
    for port in (BASE + 1, BASE + 2, BASE + 9):
        lab.uas(port)
    world.add(1, 2, 3, 4, 5)
    world.expect_flags(r1="AP", r2="AP", r3="IP", r4="IP", r5="IP")
    world.set_state("dx", 2)
    world.set_state("ip", 5)
    world.expect_flags(r2="DX")
    since = world.seen.wait_until(lambda memory: flags(memory, 2) == "DX", 20)
    churn(world, 50)
    for number, allowed in {1: {"AP"}, 2: {"DX"}, 3: {"IP"}, 4: {"IP"}, 5: {"IP"}}.items():
        assert world.seen.never(lambda memory, n=number, ok=allowed: flags(memory, n) not in ok, since)  # type: ignore[misc]
    assert "1 " + uri(2) in world.rest()["states"]


def test_states_set_by_hand_survive_without_probing(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2, 3, 4, 5)
    world.expect(1, 2, 3, 4, 5)
    wanted = {1: "IX", 2: "DX", 3: "TX", 4: "AP", 5: "IP"}
    for number, state in wanted.items():
        world.set_state(state.lower(), number)
    since = world.seen.wait_until(lambda memory: all(flags(memory, n) == s for n, s in wanted.items()), 20)
    churn(world, 10)
    assert world.seen.never(lambda memory: any(flags(memory, n) != s for n, s in wanted.items()), since)
    text = world.rest() and world.kam.list_file.read_text()
    assert f"1 {uri(2)} 0 10" in text


def test_draining_gets_d_undrain_clears_it_and_the_operators_own_stays(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.set_state("dx", 3)
    world.drain(2)
    world.expect_flags(r1="AX", r2="DX", r3="DX")
    since = world.expect(1, 2, 3)
    churn(world, 3)
    world.drain(3)
    world.engine.wait("both draining", lambda status: len(status["draining"]) == 2)
    world.drain(3, False)
    world.drain(2, False)
    world.expect_flags(r2="AX")
    world.rest()
    churn(world, 3)
    assert world.flags(3) == "DX"
    assert world.seen.never(lambda memory: flags(memory, 3) != "DX" or flags(memory, 1) != "AX", since)


def test_undrain_while_the_engine_was_down(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.set_state("dx", 3)
    world.drain(2)
    world.expect_flags(r1="AX", r2="DX", r3="DX")
    world.rest()
    world.engine.kill9()
    world.drain(2, False)
    world.engine.start()
    world.expect_flags(r1="AX", r2="AX", r3="DX")


def test_kamailio_restarts_while_one_drains(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    world.drain(2)
    world.expect_flags(r1="AX", r2="DX")
    world.rest()
    world.engine.stop()
    world.kam.restart()
    world.expect_flags(r1="AX", r2="DX")
    world.engine.start()
    world.drain(2, False)
    world.expect_flags(r1="AX", r2="AX")
    assert uris(world.kam.rpc.dispatcher()) == [uri(1), uri(2)]
