"""Consul away, back, and silent about what a token may not see."""

from pathlib import Path

from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.world import BASE, World

READ = 'service_prefix "" { policy = "read" }\nnode_prefix "" { policy = "read" }'


def restart(world: World) -> None:
    """consul-template's blocking query would end after a minute only: neither a lower index nor lost rights wake it."""
    world.ct.stop()
    world.ct.start()


def add(consul: ConsulAgent, *numbers: int) -> None:
    """Routers without a check: a TTL check is critical after a restart of the agent until somebody updates it."""
    for number in numbers:
        service = {"Name": "router", "ID": f"r{number:02d}", "Address": "127.0.0.1", "Port": BASE + number}
        consul.register_raw(service)


def test_consul_goes_away_and_comes_back(lab: Lab) -> None:
    consul = lab.consul(persist=True)
    world = World(lab, consul)
    add(consul, 1, 2, 3)
    world.expect(1, 2, 3)
    world.rest()
    consul.stop()
    since = world.expect(1, 2, 3)
    assert world.engine.stop() == 0
    (world.engine.staging / "dispatcher").unlink()  # as on a node that boots with staging on tmpfs
    world.kam.list_file.write_text("")
    world.kam.restart()
    world.engine.start()
    restarted = world.expect(1, 2, 3)
    assert world.rest()["verdict"] == "PUBLISHED"
    consul.start()
    add(consul, 4)
    world.expect(1, 2, 3, 4, timeout=40)
    assert world.seen.never(lambda memory: bool(memory) and len(uris(memory)) < 3, since)
    assert world.seen.never(lambda memory: len(uris(memory)) < 3, restarted)


def test_a_consul_rebuilt_without_data_empties_nothing(lab: Lab) -> None:
    consul = lab.consul()
    world = World(lab, consul)
    world.add(1, 2, 3)
    since = world.expect(1, 2, 3)
    consul.stop()
    consul.start()
    restart(world)
    world.said("HELD", held=[1, 2, 3], timeout=40)
    world.add(2)
    world.said("HELD", held=[1, 3])
    world.add(1, 3)
    world.engine.wait("nothing is held", lambda status: not status["held"])
    assert world.seen.never(lambda memory: len(uris(memory)) != 3, since)


def test_a_token_that_loses_its_rights_does_not_empty_the_list(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul(acl=True)
    token = consul.create_token(READ)
    file = tmp_path / "token"
    file.write_text(token)
    world = World(lab, consul, token=token, env={}, dispatcher="hold_for = 0.2\nmin_records = 0\nmax_shrink = 1")
    rules = consul.ask("GET", "/v1/acl/policies")
    assert isinstance(rules, list)
    policy = next(each for each in rules if each["Name"].startswith("lab-"))
    world.engine.stop()
    text = world.engine.config.read_text()
    world.engine.config.write_text(text.replace("[consul]\n", f'[consul]\ntoken_file = "{file}"\n'))
    world.engine.start()
    world.add(1, 2)
    since = world.expect(1, 2)
    consul.ask("PUT", f"/v1/acl/policy/{policy['ID']}", {"Name": policy["Name"], "Rules": ""})
    restart(world)
    entry = world.said("REJECTED", timeout=40)
    assert "ACL" in entry["reason"]
    assert world.rest()["staging"][0]["state"] == "rejected"
    assert world.seen.never(lambda memory: len(uris(memory)) != 2, since)
    consul.ask("PUT", f"/v1/acl/policy/{policy['ID']}", {"Name": policy["Name"], "Rules": READ})
    restart(world)
    wait_for("the rights again", lambda: world.engine.status()["staging"][0]["state"] == "ok", 30)
    world.remove(2)
    world.expect(1, timeout=30)


def test_a_token_that_sees_less_than_consul_template_proves_nothing(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul(acl=True)
    blind = tmp_path / "blind"
    blind.write_text(consul.create_token('agent_prefix "" { policy = "read" }'))
    world = World(lab, consul, token=consul.create_token(READ), env={}, dispatcher="hold_for = 0.2")
    world.engine.stop()
    text = world.engine.config.read_text()
    world.engine.config.write_text(text.replace("[consul]\n", f'[consul]\ntoken_file = "{blind}"\n'))
    world.engine.start()
    world.add(1, 2, 3)
    world.expect(1, 2, 3)
    world.rest()
    # of an empty list, before consul-template had the first of them, it may have said so
    before = world.engine.verdicts().count("REJECTED")
    world.remove(3)
    world.expect(1, 2)
    world.rest()
    assert world.engine.verdicts().count("REJECTED") == before
