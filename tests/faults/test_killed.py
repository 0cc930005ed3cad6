"""The engine killed -9 before its n-th rename, fsync, request and reply, and started again: the right list in the end.

strace counts per thread, and kills at the entry of the system call: what the call would have done is not done. The
disk worker renames and syncs (live file, release, its .json, the guards' memory), the RPC worker sends and receives.
"""

import json
import sys

import pytest

from tests.lab import ConsulAgent, Engine, Lab, Process, wait_for
from tests.lab.world import BASE, World, flags

MOST = 40
"""Kills of one kind after which the change must be through."""


def stage(engine: Engine, **statuses: str) -> None:
    """`stage(engine, r1="passing", r2="maintenance")`, as consul-template would: in one rename."""
    records = [
        json.dumps({"setid": 1, "address": "127.0.0.1", "port": BASE + int(name[1:]), "status": status})
        for name, status in statuses.items()
    ]
    text = "\n".join([*records, json.dumps({"end": "dispatcher", "records": len(records)})]) + "\n"
    temporary = engine.staging / ".new"
    temporary.write_text(text)
    temporary.rename(engine.staging / "dispatcher")


def killed_at(engine: Engine, call: str, number: int) -> bool:
    """Run an engine that dies at the `number`-th such call of a thread; False where it came to rest without one."""
    inject = f"--inject={call}:signal=KILL:when={number}"
    words = ["strace", "-f", "-qq", "-o", engine.directory / "strace", f"--trace={call}", inject]
    process = Process([*words, sys.executable, "-m", "consul_kam", "run"], engine.log, engine.env)
    try:
        wait_for("death or rest", lambda: not process.alive() or _rests(engine), 30, engine.log)
        return not process.alive()
    finally:
        process.kill_group()
        process.wait(10)


def _rests(engine: Engine) -> bool:
    """By its journal alone: a request at the control socket would count among its calls."""
    last = engine.journal()[-1:]
    return bool(last and last[0].get("verdict") == "PUBLISHED")


START = {"r1": "passing", "r2": "passing", "r3": "passing", "r4": "passing"}
DRAIN = {"r1": "passing", "r2": "maintenance", "r3": "passing", "r5": "passing"}
UNDRAIN = {"r1": "passing", "r2": "passing", "r3": "passing", "r5": "passing"}


def settles(world: World, statuses: dict[str, str]) -> None:
    """Memory holds them, our own disabling is as Consul wants it, and the operator's is there all the same."""
    world.expect(*(int(name[1:]) for name in statuses))
    wanted = {name: "DX" if status == "maintenance" or name == "r3" else "AX" for name, status in statuses.items()}
    world.expect_flags(**wanted)
    world.rest()


def goes_through(world: World, before: dict[str, str], after: dict[str, str], call: str, number: int) -> bool:
    """From one list to the next over a death; whether there was one."""
    engine = world.engine
    stage(engine, **before)
    engine.start()
    world.expect(*(int(name[1:]) for name in before))
    world.set_state("dx", 3)
    settles(world, before)
    assert engine.stop() == 0
    since = world.expect(*(int(name[1:]) for name in before))
    (engine.state / "journal.jsonl").unlink()
    (engine.state / "releases" / "dispatcher" / "memory.json").unlink()  # turns are no flapping
    stage(engine, **after)
    died = killed_at(engine, call, number)
    engine.start()
    settles(world, after)
    assert world.seen.never(lambda memory: flags(memory, 1) != "AX" or flags(memory, 3) != "DX", since)
    stage(engine, **UNDRAIN)
    settles(world, UNDRAIN)
    assert engine.stop() == 0
    return died


@pytest.mark.parametrize("call", ["/^rename", "fsync", "sendto", "recvfrom"])
@pytest.mark.parametrize(
    ("before", "after"),
    [pytest.param(START, DRAIN, id="drain"), pytest.param(DRAIN, UNDRAIN, id="undrain", marks=pytest.mark.slow)],
)
def test_killed_at_every_step(
    lab: Lab, consul: ConsulAgent, before: dict[str, str], after: dict[str, str], call: str
) -> None:
    """One joins, one leaves, one drains or comes back from it, and an operator disabled one."""
    world = World(lab, consul, templates=False, start=False, dispatcher="hold_for = 600")
    kills = 0
    while goes_through(world, before, after, call, kills + 1):
        kills += 1
        assert kills < MOST
    assert kills >= 3
