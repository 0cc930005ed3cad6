"""A file that is swapped for something else: nothing is read of it, nothing waits for it, the last good list stays."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_source import Source
from tests.lab import ConsulAgent, Lab, Rpc, Sampler, uris, wait_for
from tests.lab.engine import ROOT
from tests.lab.swapped import KINDS, back, peak, swap
from tests.lab.world import BASE, World, uri

MUCH = 32 * 2**20
"""Bytes by which a swap may not raise the engine's memory."""
swaps = pytest.mark.parametrize("kind", KINDS)


def staged(*numbers: int) -> bytes:
    lines = [f'{{"setid":1,"address":"127.0.0.1","port":{BASE + n},"status":"passing"}}\n' for n in numbers]
    return ("".join(lines) + json.dumps({"end": "dispatcher", "records": len(numbers)}) + "\n").encode()


@swaps
def test_staging(lab: Lab, consul: ConsulAgent, kind: str) -> None:
    world = World(lab, consul, templates=False, verify_every=1)
    path = world.engine.staging / "dispatcher"
    back(path, staged(1, 2))
    since = world.expect(1, 2)
    world.rest()
    before = peak(world.engine.pid)
    swap(path, kind)
    reason = world.said("REJECTED")["reason"]
    assert reason.startswith(f"cannot read {path}: it ")
    assert "\n" not in reason
    assert world.engine.status()["staging"][0]["error"] == reason
    checked = subprocess.run(
        [sys.executable, "-m", "consul_kam", "check"], cwd=ROOT, env={**os.environ, **world.engine.env},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert (checked.returncode, checked.stderr) == (2, f"{reason}\n")
    world.restart_engine()
    world.rest()
    assert peak(world.engine.pid) - before < MUCH
    assert world.seen.never(lambda memory: uris(memory) != [uri(1), uri(2)], since)
    back(path, staged(1, 3))
    world.expect(1, 3)


def test_a_staging_file_that_everybody_may_write(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, templates=False, verify_every=1)
    path = world.engine.staging / "dispatcher"
    back(path, staged(1, 2))
    world.expect(1, 2)
    new = path.with_name("new")
    new.write_bytes(staged(3))
    new.chmod(0o666)
    new.rename(path)
    assert world.said("REJECTED")["reason"] == f"cannot read {path}: everybody may write it; chmod o-w {path}"
    path.chmod(0o664)
    world.expect(3)


def holds(path: Path, content: bytes) -> bool:
    if not os.path.lexists(path):
        return False
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and found.st_size == len(content) and path.read_bytes() == content


@swaps
def test_the_live_file(lab: Lab, consul: ConsulAgent, kind: str) -> None:
    """Ours to write, so it is written again, but for a directory, which somebody else has to take away."""
    world = World(lab, consul, verify_every=1)
    world.add(1, 2)
    since = world.expect(1, 2)
    world.rest()
    path, before, passwd = world.kam.list_file, peak(world.engine.pid), Path("/etc/passwd").read_bytes()
    right = path.read_bytes()
    swap(path, kind)
    if kind == "directory":
        assert world.said("DEGRADED")["reason"].endswith(f"cannot write {path}: Is a directory")
        world.restart_engine()
        world.verdict("DEGRADED")
        path.rmdir()
    wait_for("the live file as it was", lambda: holds(path, right), 15)
    swap(path, kind)
    if kind != "directory":
        world.restart_engine()
        wait_for("it again", lambda: holds(path, right), 15)
    else:
        path.rmdir()
    world.rest()
    assert peak(world.engine.pid) - before < MUCH
    assert world.seen.never(lambda memory: uris(memory) != [uri(1), uri(2)], since)
    assert Path("/etc/passwd").read_bytes() == passwd
    world.add(3)
    world.expect(1, 2, 3)


@swaps
def test_the_live_file_before_the_first_start_is_the_operators_to_remove(
    lab: Lab, consul: ConsulAgent, kind: str
) -> None:
    world = World(lab, consul, start=False, templates=False)
    swap(world.kam.list_file, kind)
    argv = [sys.executable, "-m", "consul_kam", "run"]
    done = subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **world.engine.env}, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith(f"cannot keep {world.kam.list_file}: it ")
    assert done.stderr.endswith("; remove it, or name another file\n")


@swaps
def test_the_version_table(lab: Lab, consul: ConsulAgent, kind: str) -> None:
    """It may hold others' rows, so nothing is written in its place."""
    world = World(lab, consul, {"domain": True}, dispatcher=None, domain="min_records = 0", verify_every=1)
    with Sampler(world.kam.ctl, Rpc.domains) as domains:
        consul.register("router", "a", "a.example.net")
        good = [("a.example.net", "a.example.net")]
        since = domains.wait_until(lambda held: held == good, 15)
        world.rest(dataset="domain")
        path = world.kam.dbtext / "version"
        before, content = peak(world.engine.pid), path.read_bytes()
        swap(path, kind)
        consul.register("router", "b", "b.example.net")
        reason = world.said("DEGRADED")["reason"]
        assert reason.startswith(f"cannot write {path}: it ")
        assert domains.never(lambda held: held != good, since)
        assert peak(world.engine.pid) - before < MUCH
        back(path, content)
        domains.wait_until(lambda held: len(held) == 2, 40)


@swaps
@pytest.mark.parametrize("ending", ["list", "json"])
def test_releases(lab: Lab, consul: ConsulAgent, kind: str, ending: str) -> None:
    world = World(lab, consul)
    for number in (1, 2):
        world.add(number)
        world.expect(*range(1, number + 1))
        world.rest()
    directory = world.engine.state / "releases/dispatcher"
    names = sorted(path.stem for path in directory.glob("0*.json"))
    before = peak(world.engine.pid)
    for name in (names[0], names[-1]):
        swap(directory / f"{name}.{ending}", kind)
    assert world.engine.ask("history")["ok"]
    for wanted in (names[0], None):
        answer = world.engine.ask("rollback", release=wanted)
        assert not answer["ok"] or answer["release"] not in (names[0], names[-1])
        assert answer["ok"] or str(answer["error"]).startswith("cannot roll back")
    assert peak(world.engine.pid) - before < MUCH
    world.restart_engine()
    world.engine.ask("approve")
    world.add(3)
    world.expect(1, 2, 3)
    world.rest()


@swaps
@pytest.mark.parametrize("name", ["journal.jsonl", "releases/dispatcher/memory.json"])
def test_journal_and_memory(lab: Lab, consul: ConsulAgent, kind: str, name: str) -> None:
    world = World(lab, consul)
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    before = peak(world.engine.pid)
    swap(world.engine.state / name, kind)
    answer = world.engine.ask("history")
    assert answer["ok"] or "journal.jsonl" in str(answer["error"])
    world.restart_engine()
    world.add(3)
    world.expect(1, 2, 3)
    world.rest()
    assert peak(world.engine.pid) - before < MUCH


@swaps
@pytest.mark.parametrize("command", [("config", "show"), ("status",), ("run",)])
def test_the_configuration(tmp_path: Path, kind: str, command: tuple[str, ...]) -> None:
    path = tmp_path / "consul-kam.toml"
    if kind == "symlink":  # Kubernetes mounts them so
        path.symlink_to("/dev/zero")
    else:
        swap(path, kind)
    argv = [sys.executable, "-m", "consul_kam", "--config", str(path), *command]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("cannot ")
    assert str(path) in done.stderr


@swaps
def test_the_token_file(consul: ConsulAgent, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "token"
    path.write_text("x")
    client = Consul(consul.address, str(path))
    swap(path, kind)
    if kind == "symlink":
        path.unlink()
        path.symlink_to("/dev/zero")
    assert client.seen_of_filtered(Source("service", "router")) is None


TOKENS: Mapping[str, Any] = {
    "cannot keep Consul's token secret: everybody may read or write": lambda path: path.chmod(0o644),
    "cannot read the token file": lambda path: path.unlink(),
    "it is no regular file": lambda path: swap(path, "FIFO"),
}


@pytest.mark.parametrize("said", TOKENS)
def test_a_token_file_that_others_may_read_is_told_of(lab: Lab, consul: ConsulAgent, tmp_path: Path, said: str) -> None:
    world = World(lab, consul, start=False)
    path = tmp_path / "token"
    path.write_text("x")
    path.chmod(0o600)
    text = world.engine.config.read_text()
    world.engine.config.write_text(text.replace("[consul]\n", f'[consul]\ntoken_file = "{path}"\n'))
    world.engine.start()
    world.add(1)
    world.expect(1)
    assert world.engine.stop() == 0
    assert "token" not in world.engine.log.read_text()
    TOKENS[said](path)
    world.engine.start()
    wait_for("the warning", lambda: said in world.engine.log.read_text(), 10)
    assert "level=warning" in world.engine.log.read_text()
    world.add(2)
    world.expect(1, 2)
