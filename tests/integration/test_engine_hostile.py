"""Hostile registrations and staging files, end to end: nobody alters another's record, and nobody stops the list."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Destination, Dispatcher, Lab, uris, wait_for
from tests.lab.world import BASE, World, uri

GOOD = {uri(number): Destination(uri(number), "AX", 10, f"duid=r{number:02d};rweight=1") for number in (1, 2)}


def ours_altered(memory: Dispatcher) -> bool:
    """A good record is changed, doubled, or gone."""
    held = [d for d in memory.get(1, []) if d.uri in GOOD]
    return len(held) != 2 or any(d != GOOD[d.uri] for d in held)


def raw(id: str, **members: object) -> dict[str, object]:
    return {"Name": "router", "ID": id, "Address": "10.66.0.1", "Port": 5060, **members}


HOSTILE: dict[str, dict[str, object]] = {
    "a route line": raw("h1", Address="10.66.0.1:5060 0 10\n1 sip:10.66.6.6:5060 16 99\n1 sip:127.0.0.1"),
    "a comment": raw("h2", Address="10.66.0.2 #"),
    "parameters": raw("h3", Address="10.66.0.3;transport=tcp;x"),
    "port 0": raw("h4", Port=0),
    "port -5": raw("h5", Port=-5),
    "port 99999": raw("h6", Port=99999),
    "a long id": raw("i" * 300, Address="10.66.0.7"),
    "an id of lines": raw("h8\n1 sip:10.66.6.6:5060", Address="10.66.0.8"),
    "an id of attributes": raw("h9;socket=udp:1.2.3.4:5;weight=100", Address="10.66.0.9"),
    "the neighbour's address": raw("h10", Address="127.0.0.1", Port=BASE + 1, Meta={"priority": "99"}),
    "a template": raw("{{ key `x` }}", Address="{{ 1 }}"),
    "meta of lines": raw("h12", Address="10.66.0.12", Meta={"priority": "5\n1 sip:10.66.6.6:5060", "maxload": "x;y"}),
    "a priority beyond": raw("h13", Address="10.66.0.13", Meta={"priority": "99999999999"}),
    "a quote": raw("h14", Address='10.66.0.14"}\n{"end":"dispatcher","records":0}'),
    "no address": raw("h15", Address="", Port=5061),
}


def test_hostile_registrations_alter_no_other_record(lab: Lab) -> None:
    consul = lab.consul()  # of its own: what has such an ID is not easily deregistered
    world = World(lab, consul)
    world.add(1, 2)
    since = world.expect(1, 2)
    for turn, registration in enumerate(HOSTILE.values()):
        consul.register_raw(registration)
        world.add(9, meta={"priority": str(turn)})
        world.seen.wait_until(
            lambda memory, turn=turn: any(d.uri == uri(9) and d.priority == turn for d in memory.get(1, [])),  # type: ignore[misc]
            15,
        )
    consul.register_raw(b'{"Name":"router","ID":"\xff\xfe","Address":"10.66.0.20\xff","Port":5060}')
    world.add(3)
    world.seen.wait_until(lambda memory: uri(3) in uris(memory), 15)
    assert world.seen.never(ours_altered, since)
    assert world.seen.never(lambda memory: set(memory) != {1} or "sip:10.66.6.6:5060" in uris(memory), since)
    status = world.rest()
    foreign = [each for each in uris(world.kam.rpc.dispatcher()) if "127.0.0.1" not in each]
    assert "sip:10.66.0.7:5060" in foreign
    assert len(status["dropped"]) >= 9
    assert all("\n" not in problem for problem in status["dropped"])


def test_a_socket_that_is_not_kamailios_does_not_freeze_its_neighbours(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.add(1, 2)
    since = world.expect(1, 2)
    world.add(5, meta={"socket": "udp:10.1.2.3:5060"})
    world.engine.wait("refused", lambda status: status["refused"] == ["1 " + uri(5)])
    world.rest()
    world.add(3)
    world.expect(1, 2, 3)
    world.remove(3)
    world.expect(1, 2)
    assert world.engine.status()["refused"] == ["1 " + uri(5)]
    assert world.seen.never(ours_altered, since)
    world.add(5)
    world.expect(1, 2, 5)
    assert world.rest()["refused"] == []


def test_a_refused_change_of_a_live_one(lab: Lab, consul: ConsulAgent) -> None:
    """Kamailio refuses the new form of a record that carries calls: the others stay as they are."""
    world = World(lab, consul)
    world.add(1, 2, 3)
    since = world.expect(1, 2, 3)
    world.add(3, meta={"socket": "udp:10.1.2.3:5060"})
    world.engine.wait("refused", lambda status: status["refused"] == ["1 " + uri(3)])
    world.expect(1, 2)
    assert world.seen.never(ours_altered, since)


def write_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def write_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def write_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def write_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def write_miscounted(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))


def write_empty(path: Path) -> None:
    path.write_bytes(b"")


def write_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**33)


@pytest.mark.parametrize(
    "spoil",
    [write_fifo, write_symlink, write_directory, write_truncated, write_miscounted, write_empty, write_huge],
)
def test_a_spoilt_staging_file_is_rejected_and_the_engine_lives(
    lab: Lab, consul: ConsulAgent, spoil: Callable[[Path], None]
) -> None:
    world = World(lab, consul, templates=False, verify_every=1)
    staged = world.engine.staging / "dispatcher"
    records = [f'{{"setid":1,"address":"127.0.0.1","port":{BASE + number},"status":"passing"}}\n' for number in (1, 2)]
    good = "".join(records) + '{"end":"dispatcher","records":2}\n'
    staged.write_text(good)
    since = world.expect(1, 2)
    world.rest()
    spoil(staged)
    world.said("REJECTED")
    assert world.engine.status()["staging"][0]["state"] == "rejected"
    world.restart_engine()
    world.rest()
    if staged.is_dir():
        staged.rmdir()
    staged.unlink(missing_ok=True)
    staged.write_text(good.replace(str(BASE + 2), str(BASE + 3)))
    world.expect(1, 3)
    assert world.seen.never(lambda memory: len(uris(memory)) != 2, since)


def test_kamailios_own_format_is_taken_and_called_native(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, templates=False)
    staged = world.engine.staging / "dispatcher"
    staged.write_text(f"# by hand\n1 {uri(2)} 0 10\n1 {uri(1)} 0 10\n1 sip:[bad 0 10\n")
    world.expect(1, 2)
    status = world.rest()
    assert status["staging"][0]["state"] == "native"
    assert len(status["dropped"]) == 1
    staged.write_bytes(b"\0\xff" * 4096)
    wait_for("the binary one is taken in", lambda: world.engine.status()["dropped"] != status["dropped"], 10)
    world.restart_engine()
    world.expect(1, 2)


def test_a_name_that_does_not_resolve_is_left_out_alone(lab: Lab, consul: ConsulAgent) -> None:
    """Kamailio would drop it at the load without a word, and keep everybody waiting for the look-up."""
    world = World(lab, consul, templates=False, dispatcher="resolve_deadline = 0.5")
    staged = world.engine.staging / "dispatcher"
    staged.write_text(f"1 {uri(1)} 0 10\n1 sip:nobody.invalid:5060 0 10\n1 {uri(2)} 0 10\n")
    world.expect(1, 2)
    status = world.rest()
    assert status["blocked"] == ["nobody.invalid"]
    assert "nobody.invalid does not resolve" in status["dropped"][0]
    staged.write_text(f"1 {uri(1)} 0 10\n1 {uri(3)} 0 10\n1 sip:nobody.invalid:5060 16 10\n")
    wanted = [uri(1), uri(3), "sip:nobody.invalid:5060"]
    world.seen.wait_until(lambda memory: uris(memory) == wanted, 15)
    assert world.rest()["blocked"] == []
