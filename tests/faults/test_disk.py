"""A disk that fills up or turns read-only, at each place that is written to: the last good list stays, and it heals."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.disk import Disk, disk
from tests.lab.engine import TEMPLATES
from tests.lab.world import World, uri

Spoil = Callable[[Disk, bool], None]


def full(place: Disk, on: bool) -> None:
    if on:
        place.fill()
    else:
        place.free()


def read_only(place: Disk, on: bool) -> None:
    place.read_only(on)


spoils = pytest.mark.parametrize("spoil", [full, read_only])


@spoils
def test_the_live_directory(lab: Lab, consul: ConsulAgent, spoil: Spoil) -> None:
    world = World(lab, consul, verify_every=1)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    with disk(world.kam.live) as live:
        spoil(live, True)
        before = world.kam.list_file.read_bytes()
        world.add(3)
        reason = world.said("DEGRADED")["reason"]
        assert reason.startswith(f"cannot write {world.kam.list_file}")
        since = world.expect(1, 2)
        world.kam.restart()
        world.expect(1, 2)
        world.restart_engine()
        world.verdict("DEGRADED")
        assert world.kam.list_file.read_bytes() == before
        assert world.seen.never(lambda memory: uris(memory) != [uri(1), uri(2)], since)
        spoil(live, False)
        world.expect(1, 2, 3, timeout=40)
        world.verdict("PUBLISHED")
        assert sorted(path.name for path in world.kam.live.iterdir()) == [
            ".dispatcher.list.consul-kam.lock",
            "dbtext",
            "dispatcher.list",
        ]


@spoils
def test_the_releases(lab: Lab, consul: ConsulAgent, spoil: Spoil) -> None:
    """Kamailio gets the new list; what cannot be kept is said, and kept as soon as it can be."""
    world = World(lab, consul, verify_every=1)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    with disk(world.engine.state / "releases") as releases:
        spoil(releases, True)
        world.add(3)
        assert "memory is right, the disk is not" in world.said("DEGRADED")["reason"]
        world.expect(1, 2, 3)
        world.drain(3)
        world.expect_flags(r3="DX")
        world.restart_engine()
        world.drain(3, False)
        world.expect_flags(r1="AX", r3="AX")
        spoil(releases, False)
        world.verdict("PUBLISHED", 40)
        wait_for("the release on disk", lambda: _newest(world.engine.state).count("\n") == 3, 10)


def _newest(state: Path) -> str:
    return max((state / "releases" / "dispatcher").glob("*.list")).read_text()


def test_the_whole_state_directory(lab: Lab, consul: ConsulAgent) -> None:
    """Journal, guards' memory, releases: staging alone can be written to."""
    world = World(lab, consul, verify_every=1, start=False, templates=False)
    with disk(world.engine.state) as state, disk(world.engine.staging):
        world.engine.start()
        lab.consul_template(consul, [(TEMPLATES / "dispatcher.ctmpl", world.engine.staging / "dispatcher", None)])
        world.add(1, 2)
        world.expect(1, 2)
        world.rest()
        state.fill()
        world.add(3)
        world.expect(1, 2, 3)
        assert "the disk is not" in world.verdict("DEGRADED")["reason"]
        world.remove(3)
        world.expect(1, 2)
        state.free()
        world.verdict("PUBLISHED", 40)
        world.add(4)
        world.expect(1, 2, 4)

        def whole() -> bool:
            """Written again: also of what came last."""
            return any(e.get("verdict") == "PUBLISHED" and e["records"] == 3 for e in world.engine.journal()[-3:])

        wait_for("the journal again", whole, 10)
        assert world.engine.stop() == 0


def test_the_domain_table_and_its_version_file(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, {"domain": True}, dispatcher=None, domain="min_records = 0", verify_every=1)
    consul.register("router", "a", "a.example.net")
    wait_for("a", lambda: world.kam.rpc.domains() == [("a.example.net", "a.example.net")], 15)
    world.rest(dataset="domain")
    with disk(world.kam.dbtext) as tables:
        tables.fill()
        consul.register("router", "b", "b.example.net")
        world.engine.wait("the full disk", lambda s: s["verdict"] == "DEGRADED", dataset="domain")
        assert world.kam.rpc.domains() == [("a.example.net", "a.example.net")]
        tables.free()
        wait_for("b", lambda: len(world.kam.rpc.domains()) == 2, 40)
        world.rest(dataset="domain")


def test_a_state_directory_that_cannot_be_written_to_at_start_is_named(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, start=False, templates=False)
    with disk(world.engine.state) as state:
        state.read_only(True)
        with pytest.raises(AssertionError, match="the engine ended"):
            world.engine.start()
    lines = world.engine.log.read_text().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("cannot ")
    assert str(world.engine.state) in lines[0]
