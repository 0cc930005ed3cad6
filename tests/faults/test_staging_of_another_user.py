"""The user who renders into staging, as consul-template's own, swaps his file: the engine reads and stops nothing."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, stranger, uris
from tests.lab.swapped import peak
from tests.lab.world import BASE, World, uri

STAGED = """
path, lines = given
open(path + ".new", "w").write(lines)
os.chmod(path + ".new", 0o644)
if os.path.isdir(path) and not os.path.islink(path): os.rmdir(path)
os.rename(path + ".new", path)
"""
SWAPS = {
    "symlink": "os.symlink(os.path.dirname(os.path.dirname(path)) + '/secret', new)",
    "symlink to itself": "os.symlink(path, new)",
    "FIFO": "os.mkfifo(new)",
    "directory": "os.unlink(path); os.mkdir(new)",
    "10 GB": "os.truncate(os.open(new, os.O_CREAT | os.O_WRONLY), 10 * 2**30)",
}
MUCH = 32 * 2**20
"""Bytes by which a swap may not raise the engine's memory."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with stranger.open_place() as place, Lab(place) as opened:
        yield opened


def stage(path: Path, *numbers: int) -> None:
    """By the other user."""
    lines = [json.dumps({"setid": 1, "address": "127.0.0.1", "port": BASE + number}) for number in numbers]
    end = json.dumps({"end": "dispatcher", "records": len(lines)})
    stranger.does(STAGED, [str(path), "\n".join([*lines, end]) + "\n"])


@pytest.mark.parametrize("kind", SWAPS)
def test_what_he_puts_there_is_refused_and_the_last_good_list_stays(lab: Lab, consul: ConsulAgent, kind: str) -> None:
    path = lab.directory / "rendered" / "dispatcher"
    path.parent.mkdir()
    secret = lab.directory / "secret"
    secret.write_text("for nobody else")
    secret.chmod(0o600)
    stranger.by_root("chown", str(stranger.UID), path.parent)
    world = World(lab, consul, templates=False, dispatcher=f'staging = "{path}"', verify_every=1)
    stage(path, 1, 2)
    since = world.expect(1, 2)
    world.rest()
    before = peak(world.engine.pid)
    stranger.does(f"path, new = given, given + '.new'\n{SWAPS[kind]}\nos.rename(new, path)", str(path))
    reason = world.said("REJECTED")["reason"]
    assert reason.startswith(f"cannot read {path}: ")
    assert world.engine.status()["staging"][0]["error"] == reason
    world.restart_engine()
    world.rest()
    assert peak(world.engine.pid) - before < MUCH
    said = world.engine.log.read_text() + json.dumps([world.engine.journal(), world.engine.status()])
    assert secret.read_text() not in said
    assert world.seen.never(lambda memory: uris(memory) != [uri(1), uri(2)], since)
    stage(path, 1, 3)
    world.expect(1, 3)
