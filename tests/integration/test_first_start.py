"""A host where nothing is there yet: Kamailio does not start without its files, and the engine has them."""

from pathlib import Path

from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.world import World, uri


def bare(lab: Lab, consul: ConsulAgent, more: str = "") -> tuple[World, list[Path]]:
    """Kamailio is down and has no file; Consul knows two routers, and their lists are staged."""
    world = World(lab, consul, {"domain": True}, domain="", more=more, start=False)
    world.kam.stop()
    files = [world.kam.list_file, world.kam.dbtext / "domain", world.kam.dbtext / "version"]
    for path in (*files, world.kam.dbtext / "domain_attrs"):
        path.unlink(missing_ok=True)
    world.add(1, 2)
    for name in ("dispatcher", "domain"):
        staged(world, name, "r02")
    world.engine.start()
    return world, files


def staged(world: World, name: str, text: str) -> None:
    path = world.engine.staging / name
    wait_for(f"{text} in {path}", lambda: path.exists() and text in path.read_text(), 20)


def test_the_engine_makes_the_files_that_a_first_start_needs(lab: Lab, consul: ConsulAgent) -> None:
    world, files = bare(lab, consul)
    wait_for("the files", lambda: all(path.exists() for path in files), 15, world.engine.log)
    assert uri(2) in world.kam.list_file.read_text()
    world.kam.start()
    world.expect(1, 2)
    world.rest()
    assert world.engine.status("domain")["memory"]["state"] == "equal"


def test_a_file_that_is_there_stays_as_it_is_until_kamailio_can_be_asked(lab: Lab, consul: ConsulAgent) -> None:
    world, files = bare(lab, consul)
    wait_for("the files", lambda: all(path.exists() for path in files), 15, world.engine.log)
    before = world.kam.list_file.read_bytes()
    world.add(3)
    staged(world, "dispatcher", "r03")
    world.engine.ask("apply", wait=0.5)
    assert world.kam.list_file.read_bytes() == before
    world.kam.start()
    world.expect(1, 2, 3)


def test_observe_makes_none(lab: Lab, consul: ConsulAgent) -> None:
    world, files = bare(lab, consul, 'mode = "observe"\n')
    world.said("BUSY")
    world.engine.ask("apply", wait=3.0)
    assert not any(path.exists() for path in files)
