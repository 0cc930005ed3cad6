"""The article's own wiring with two words changed: its template, destination staging, command kam-apply; no engine."""

import os
import sys
from pathlib import Path

from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.engine import PLUGINS
from tests.lab.world import BASE, World, uri

# ../shared/baseline/dispatcher-list.tpl, word for word
ARTICLE = """\
# setid(int) destination(sip uri) flags(int,opt) priority(int,opt) attributes(str,opt)
{{range $index, $service := service "router"}}1 sip:{{.Address}}:{{.Port}} 16 10
{{end}}
"""
# kam-apply takes the python3 beside it, which an installation has, or the one of PATH
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def pid_of(world: World) -> int:
    return int(world.engine.ask("status")["pid"])


def gone(pid: int) -> bool:
    """Ended; it is nobody's child here, so a zombie of another's counts as ended."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def article(lab: Lab, consul: ConsulAgent, hold_for: float = 60.0) -> World:
    world = World(lab, consul, dispatcher=f"hold_for = {hold_for}", templates=False, start=False)
    template = world.engine.directory / "dispatcher-list.tpl"
    template.write_text(ARTICLE)
    stanza = (template, world.engine.staging / "dispatcher", [PLUGINS / "kam-apply"])
    world.ct = lab.consul_template(consul, [stanza], {**world.engine.env, "PATH": PATH})
    return world


def test_a_detached_engine_starts_applies_and_ends_by_itself(lab: Lab, consul: ConsulAgent) -> None:
    for number in (1, 2, 3):
        consul.register("router", f"r{number:02d}", port=BASE + number)
    world = article(lab, consul)
    world.expect(1, 2, 3)
    first = pid_of(world)
    status = world.engine.ask("status")
    assert status["detached"]
    assert status["datasets"][0]["staging"][0]["state"] == "native"
    wait_for("the end of the detached engine", lambda: gone(first), 25, every=0.1)
    assert not (world.engine.state / "control.sock").exists()
    world.add(4)
    world.expect(1, 2, 3, 4)
    assert pid_of(world) != first
    assert world.ct.alive()


def test_it_stays_while_something_is_held_and_ends_a_hold(lab: Lab, consul: ConsulAgent) -> None:
    for number in (1, 2, 3):
        consul.register("router", f"r{number:02d}", port=BASE + number)
    world = article(lab, consul, hold_for=7)
    world.expect(1, 2, 3)
    world.remove(3)
    world.expect(1, 2)
    first = pid_of(world)
    world.remove(2)
    world.said("HELD", held=[2])
    world.expect(1, timeout=30)
    assert pid_of(world) == first
    assert world.ct.alive()


def test_a_lasting_engine_takes_over_and_a_bad_list_does_not_end_consul_template(lab: Lab, consul: ConsulAgent) -> None:
    consul.register("router", "r01", port=BASE + 1)
    world = article(lab, consul)
    world.expect(1)
    detached = pid_of(world)
    world.engine.start()
    wait_for("the detached one's end", lambda: gone(detached), 10)
    world.add(2)
    world.expect(1, 2)
    consul.register("router", "bad", "no host at all", 5060)
    world.engine.wait("the bad record is dropped", lambda status: len(status["dropped"]) == 1)
    world.add(3)
    world.expect(1, 2, 3)
    assert world.ct.alive()
    assert uris(world.kam.rpc.dispatcher()) == [uri(1), uri(2), uri(3)]
