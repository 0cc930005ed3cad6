"""Other users of the host, with a real engine: what they can read and write, and what they plant before it starts."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.control import ask
from consul_kam.adapters.lock import abstract_name
from tests.lab import ConsulAgent, Lab, stranger, wait_for
from tests.lab.engine import PLUGINS, ROOT
from tests.lab.world import World, uri

TRIES = """
def connects(path):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
def writes(path, flags=0):
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | flags))
found = {}
for path, kind in given.items():
    tries = {"replace": said(os.rename, path, path + ".mine"), "unlink": said(os.unlink, path),
             "link": said(os.symlink, "/etc/passwd", path + ".new"), "chmod": said(os.chmod, path, 0o777)}
    if kind == "directory":
        tries |= {"read": said(os.listdir, path), "write": said(writes, path + "/planted", os.O_CREAT)}
    elif kind == "socket":
        tries |= {"read": said(connects, path)}
    else:
        tries |= {"read": said(lambda: open(path).close()), "write": said(writes, path)}
    found[path] = [name for name, result in tries.items() if result == "done"]
print(json.dumps(found))
"""
MODES = {
    "": 0o700,
    "staging": 0o750,
    "releases": 0o700,
    "releases/dispatcher": 0o700,
    "control.sock": 0o600,
    "control.sock.lock": 0o600,
    "journal.jsonl": 0o600,
}
"""docs/operations.md, "Who may do what on the host"; the releases' files are 0600 too."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with stranger.open_place() as place, Lab(place) as opened:
        yield opened


def kind(path: Path) -> str:
    return "directory" if path.is_dir() else "socket" if path.is_socket() else "file"


def anew(world: World, umask: int) -> None:
    """The engine makes its state directory itself, in a directory that everybody may walk through."""
    world.kam.run.chmod(0o755)
    shutil.rmtree(world.engine.state)
    world.engine._wrapper = ["sh", "-c", f'umask {umask:03o}; exec "$@"', "sh"]
    world.engine.start()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_nobody_else_reads_or_writes_what_the_engine_makes(lab: Lab, consul: ConsulAgent, umask: int) -> None:
    world = World(lab, consul, start=False)
    world.kam.list_file.unlink()
    world.ct.stop()
    anew(world, umask)
    world.ct.start()
    world.add(1, 2)
    world.expect(1, 2)
    world.rest()
    releases = world.engine.state / "releases/dispatcher"
    wait_for("the release", lambda: list(releases.glob("0*.json")) and (releases / "memory.json").exists(), 10)
    state = world.engine.state
    found = {str(path.relative_to(state)): path.stat().st_mode & 0o777 for path in state.rglob("*") if path.exists()}
    found[""] = state.stat().st_mode & 0o777
    assert {
        name: mode for name, mode in found.items() if mode & ~MODES.get(name, 0o600) & 0o777 and "staging/" not in name
    } == {}
    assert MODES.keys() <= found.keys()
    assert world.kam.list_file.stat().st_mode & 0o777 == 0o644
    lock = world.kam.live / ".dispatcher.list.consul-kam.lock"
    assert lock.stat().st_mode & 0o777 == 0o600
    # as if an operator had opened the state directory (systemd's StateDirectory= has 0755)
    state.chmod(0o755)
    places = [state, *state.rglob("*"), world.kam.live, world.kam.list_file, lock]
    tried = stranger.does(TRIES, {str(path): kind(path) for path in places})
    readable = {str(state): ["read"], str(world.kam.live): ["read"], str(world.kam.list_file): ["read"]}
    assert {path: done for path, done in tried.items() if done != readable.get(path, [])} == {}
    world.kam.live.chmod(0o750)
    assert stranger.does(TRIES, {str(world.kam.list_file): "file"}) == {str(world.kam.list_file): []}
    world.add(3)
    world.expect(1, 2, 3)


def test_owner_and_mode_of_a_live_file_stay(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul, start=False)
    world.kam.list_file.chmod(0o640)
    stranger.by_root("chown", f"{os.getuid()}:{stranger.UID}", world.kam.list_file)
    anew(world, 0o000)
    seen = []
    for number in (1, 2, 3):
        world.add(number)
        world.expect(*range(1, number + 1))
        world.rest()
        found = world.kam.list_file.stat()
        seen.append((found.st_mode & 0o777, found.st_uid, found.st_gid))
    assert seen == [(0o640, os.getuid(), stranger.UID)] * 3


def test_a_live_file_that_everybody_may_write_is_closed_with_the_next_list(lab: Lab, consul: ConsulAgent) -> None:
    world = World(lab, consul)
    world.kam.list_file.chmod(0o666)
    world.add(1)
    world.expect(1)
    world.rest()
    assert world.kam.list_file.stat().st_mode & 0o777 == 0o664


# -- planted before it starts -----------------------------------------------------------------------------------------


def started(world: World, **env: str) -> "subprocess.CompletedProcess[str]":
    """What an engine says that does not start."""
    argv = [sys.executable, "-m", "consul_kam", "run"]
    return subprocess.run(
        argv, cwd=ROOT, env={**os.environ, **world.engine.env, **env}, capture_output=True, text=True, timeout=30
    )


@pytest.fixture
def sticky(lab: Lab) -> Path:
    found = lab.directory / "tmp"
    found.mkdir()
    found.chmod(0o1777)
    return found


PLANTS = {
    "a directory": ("os.mkdir(given, 0o755)", "it belongs to user id {uid}"),
    "an open directory": ("os.mkdir(given, 0o777)", "it belongs to user id {uid}"),
    "a symlink": (
        "os.symlink(os.path.dirname(given) + '/../mine', given)",
        "user id {uid} owns {state} and may swap it",
    ),
    "a file": ("os.close(os.open(given, os.O_CREAT))", "it is no directory; remove it"),
    "a loop": ("os.symlink(given, given)", "Too many levels of symbolic links"),
}


@pytest.mark.parametrize("plant", PLANTS)
def test_a_state_directory_that_somebody_planted(lab: Lab, consul: ConsulAgent, sticky: Path, plant: str) -> None:
    world = World(lab, consul, start=False, templates=False)
    (lab.directory / "mine").mkdir()
    code, reason = PLANTS[plant]
    state = sticky / "state"
    stranger.does(code, str(state))
    done = started(world, CONSUL_KAM_STATE_DIR=str(state))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("cannot use ")
    assert reason.format(uid=stranger.UID, state=state) in done.stderr
    assert list((lab.directory / "mine").iterdir()) == []


def test_live_and_staging_directories_that_everybody_may_write(lab: Lab, consul: ConsulAgent, sticky: Path) -> None:
    world = World(lab, consul, start=False, templates=False)
    world.kam.live.chmod(0o1777)
    done = started(world)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"the live directory {world.kam.live}: everybody may write in it; chmod o-w {world.kam.live}" in done.stderr
    world.kam.live.chmod(0o755)
    text = world.engine.config.read_text()
    table = '[datasets."dispatcher"]'
    assert table in text
    world.engine.config.write_text(text.replace(table, f'{table}\nstaging = "{sticky}/x"'))
    assert f"the staging directory {sticky}: everybody may write in it" in started(world).stderr
    world.engine.config.write_text(text)
    world.engine.config.chmod(0o646)
    assert "everybody may write it, and it names commands; chmod o-w" in started(world).stderr


PLANTED_SOCKET = """
import threading
os.mkdir(given, 0o755)
path = given + "/control.sock"
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def serve():
    while True:
        client, _ = listener.accept()
        client.settimeout(10)
        heard = client.recv(4096)
        if heard:
            open(given + "/heard", "ab").write(heard)
        client.sendall(b"dispatcher PUBLISHED abc lies\\n")
        client.close()
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
"""


def test_plugin_and_commands_believe_no_engine_that_somebody_planted(sticky: Path) -> None:
    state = sticky / "state"
    env = {**os.environ, "CONSUL_KAM_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}
    with stranger.goes_on(PLANTED_SOCKET, str(state)):
        for argv in ([str(PLUGINS / "kam-apply")], [sys.executable, "-m", "consul_kam", "status"]):
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=30)
            assert done.returncode in (1, 3)
            assert done.stdout == ""
            assert done.stderr.startswith(f"cannot trust {state}/control.sock: user id {stranger.UID} listens there")
    assert not (state / "heard").exists()


def test_the_plugin_starts_no_engine_in_a_directory_that_somebody_planted(sticky: Path, lab: Lab) -> None:
    state, target = sticky / "state", lab.directory / "target"
    stranger.does(
        "os.mkdir(given[0], 0o755); os.symlink(given[1], given[0] + '/detached.log')", [str(state), str(target)]
    )
    env = {**os.environ, "CONSUL_KAM_STATE_DIR": str(state), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([str(PLUGINS / "kam-apply")], env=env, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"user id {stranger.UID} owns it" in done.stderr
    assert not target.exists()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_detached_engine_makes_nothing_that_others_may_write(lab: Lab, consul: ConsulAgent, umask: int) -> None:
    world = World(lab, consul, start=False)
    world.kam.run.chmod(0o755)
    shutil.rmtree(world.engine.state)
    deep = world.kam.run / "a" / "b" / "state"
    env = {**os.environ, **world.engine.env, "CONSUL_KAM_STATE_DIR": str(deep)}
    shell = ["sh", "-c", f'umask {umask:03o}; exec "$@"', "sh", str(PLUGINS / "kam-apply")]
    done = subprocess.run(shell, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    made = [world.kam.run / "a", *(world.kam.run / "a").rglob("*")]
    open_ = {str(path): oct(path.stat().st_mode) for path in made if path.exists() and path.stat().st_mode & 0o022}
    assert open_ == {}
    assert (deep / "detached.log").stat().st_mode & 0o777 == 0o600
    assert deep.stat().st_mode & 0o777 == 0o700
    os.kill(int(str(ask(deep / "control.sock", {"do": "status"}, 10)["pid"])), signal.SIGTERM)


def test_a_stranger_who_holds_the_name_of_kamailios_lock_keeps_no_engine_from_starting(
    lab: Lab, consul: ConsulAgent
) -> None:
    world = World(lab, consul, start=False)
    squat = "one = socket.socket(socket.AF_UNIX); one.bind(given); one.listen(); print(1, flush=True)"
    with stranger.goes_on(squat, abstract_name(f"unix:{world.kam.ctl}")):
        world.engine.start()
        world.add(1)
        world.expect(1)
        other = started(world, CONSUL_KAM_STATE_DIR=str(world.kam.run / "other"))
        assert (other.returncode, other.stderr) == (
            2,
            f"cannot start: another engine (process {world.engine.pid}) already writes {world.kam.list_file}\n",
        )
    assert uri(1) in world.kam.list_file.read_text()
