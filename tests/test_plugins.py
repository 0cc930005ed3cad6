"""The plugins as consul-template runs them: as programs, with an engine, without one, and two at once."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consul_kam import config
from consul_kam.adapters.control import Reply, Server, ask
from tests.lab import wait_for

REPO = Path(__file__).parents[1]
VERDICT = {"dataset": "dispatcher", "verdict": "PUBLISHED", "release": "abc", "detail": "2 records"}
ENGINE = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, {repo!r})
from consul_kam.adapters.control import Server
home = Path(os.environ["CONSUL_KAM_STATE_DIR"])
told = dict(dataset="dispatcher", verdict="PUBLISHED", release=str(os.getpid()), detail=" ".join(sys.argv[1:]))
time.sleep(0.2)
server = Server(home / "control.sock", lambda request, reply: reply(dict(ok=True, verdicts=[told], waiting=[])))
(home / "engine").write_text(f"{{os.getpid()}} {{os.getsid(0)}} {{os.readlink('/proc/self/fd/1')}}")
print("to the log", file=sys.stderr, flush=True)
while Path(__file__).exists():
    time.sleep(0.02)
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """The plugins with an interpreter beside them, as in an environment that the wheel went into."""
    found = tmp_path / "bin"
    shutil.copytree(REPO / "plugins", found)
    (found / "python3").symlink_to(sys.executable)
    return found


def environment(state: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CONSUL_")}
    return {**kept, "CONSUL_KAM_STATE_DIR": str(state)}


@pytest.fixture
def run(bin_dir: Path, state: Path) -> Run:
    def call(name: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [str(bin_dir / name), *arguments]
        done = subprocess.run(
            command, env={**environment(state), **env}, capture_output=True, text=True, timeout=60, check=False
        )
        assert "Traceback" not in done.stderr
        return done

    return call


def serving(state: Path, reply: Mapping[str, Any]) -> Server:
    def handle(request: dict[str, object], answer: Reply) -> None:
        assert request == {"do": "apply", "wait": 2.0, "as": "text"}
        answer(reply)

    return Server(state / "control.sock", handle)


def program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def engine(bin_dir: Path, state: Path) -> Iterator[Path]:
    """A `consul-kam` beside the plugins that takes a while to listen and ends with its program file, however late."""
    (bin_dir / "engine.py").write_text(ENGINE.format(repo=str(REPO)))
    program(bin_dir / "consul-kam", f'#!/bin/sh\nexec {sys.executable} {bin_dir}/engine.py "$@"\n')
    yield state / "engine"
    (bin_dir / "engine.py").unlink()


def test_each_verdict_is_a_line(run: Run, state: Path) -> None:
    rejected = {"dataset": "domain", "verdict": "REJECTED", "release": "", "detail": "cannot use x\n\x1b[31m"}
    server = serving(state, {"ok": True, "verdicts": [VERDICT, rejected], "waiting": ["rtpengine"]})
    done = run("kam-apply")
    server.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "dispatcher PUBLISHED abc 2 records",
        "domain REJECTED cannot use x\\n\\x1b[31m",
        "rtpengine is still on its way",
    ]


def test_where_the_engine_records_nothing_it_fails(run: Run, state: Path) -> None:
    server = serving(state, {"ok": False, "error": "cannot apply: the engine is ending"})
    done = run("kam-apply")
    server.close()
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "cannot apply: the engine is ending\n")


def word_of(engine: Path) -> list[str]:
    """It answers before it writes this."""
    wait_for("its word", lambda: engine.exists() and len(engine.read_text().split()) == 3, 20)
    return engine.read_text().split()


def test_without_an_engine_it_starts_one_that_outlives_it(run: Run, state: Path, engine: Path) -> None:
    done = run("kam-apply")
    pid, session, output = word_of(engine)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"dispatcher PUBLISHED {pid} run --detached\n"
    assert (session, output) == (pid, str(state / "detached.log"))
    assert run("kam-apply").stdout == done.stdout
    assert (state / "detached.log").read_text() == "to the log\n"
    assert (state / "detached.log").stat().st_mode & 0o777 == 0o600


def test_two_at_once_hand_over_to_one_engine(bin_dir: Path, state: Path, engine: Path) -> None:
    command, env = [str(bin_dir / "kam-apply")], environment(state)
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1] == f"dispatcher PUBLISHED {word_of(engine)[0]} run --detached\n"


def test_an_engine_that_cannot_start_is_said_with_its_log(run: Run, bin_dir: Path, state: Path) -> None:
    program(bin_dir / "consul-kam", "#!/bin/sh\necho cannot read x >&2\nexit 2\n")
    done = run("kam-apply")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"cannot start an engine: cannot read x; see {state}/detached.log\n"
    assert (state / "detached.log").read_text() == "cannot read x\n"


def test_a_state_directory_that_cannot_be_made_is_one_line(run: Run) -> None:
    done = run("kam-apply", CONSUL_KAM_STATE_DIR="/proc/nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("cannot apply: ")


def test_the_socket_of_an_engine_that_was_killed_is_no_engine(run: Run, state: Path, engine: Path) -> None:
    serving(state, {}).close()
    code = f"import os, socket; socket.socket(socket.AF_UNIX).bind({str(state / 'control.sock')!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert run("kam-apply").returncode == 0


def test_the_real_engine_is_started_from_the_tree(state: Path, tmp_path: Path) -> None:
    """No Kamailio, nothing staged: a verdict all the same."""
    configured = tmp_path / "c.toml"
    live = tmp_path / "live" / "dispatcher.list"
    live.parent.mkdir()
    configured.write_text(f'kamailio.rpc = "unix:{tmp_path}/none"\ndatasets.dispatcher.file = "{live}"\n')
    env = {**environment(state), "CONSUL_KAM_CONFIG": str(configured), "PYTHONPATH": str(REPO)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(
        [str(REPO / "plugins" / "kam-apply")], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    log = state / "detached.log"
    assert done.returncode == 0, done.stderr + (log.read_text() if log.exists() else "")
    assert done.stdout.startswith("dispatcher ")
    pid = ask(state / "control.sock", {"do": "stop"}, 10)["pid"]
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until, "the engine does not end"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "env",
    [
        {"CONSUL_KAM_STATE_DIR": "/a", "CONSUL_KAM_CONFIG": "{file}"},
        {"CONSUL_KAM_CONFIG": "{file}"},
        {"HOME": "/home/u"},
        {"HOME": "/home/u", "XDG_STATE_HOME": "/x"},
        {},
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        'node.state_dir = "/b"',
        '[node]\nstate_dir = "/b"\n',
        '[node]\nstate_dir = "/b" # not "/c"\n',
        '[node]\nstate_dir = "/\\u0062"\n',
        "[node]\nstate_dir = '/b'\n",
        "# state_dir\n",
        "",
    ],
)
@pytest.mark.parametrize("writable", ["/var/lib", "/var/lib/consul_kam", ""])
def test_it_finds_the_state_directory_where_the_engine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], text: str, writable: str
) -> None:
    (tmp_path / "c.toml").write_text(text)
    given = {name: value.format(file=tmp_path / "c.toml") for name, value in env.items()}
    monkeypatch.setattr(os, "access", lambda path, mode: path == writable)
    source = (REPO / "plugins" / "kam-apply").read_text().partition("sys.excepthook")[0]
    plugin: dict[str, Any] = {}
    exec(compile(source, "kam-apply", "exec"), plugin)
    assert plugin["state_dir"](given.get) == str(config.load(environ=given).state_dir)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["kam-check"], "check"),
        (["kam-check", "domain", "a b"], "check|domain|a b"),
        (["kam-rollback"], "rollback|--dataset|dispatcher"),
        (["kam-rollback", "domain"], "rollback|--dataset|domain"),
        (["kam-rollback", "domain", "r1 x"], "rollback|--dataset|domain|--|r1 x"),
    ],
)
def test_the_others_hand_over_to_the_command_line(run: Run, bin_dir: Path, arguments: list[str], expected: str) -> None:
    program(bin_dir / "consul-kam", '#!/bin/sh\nIFS="|"; echo "$*"; exit 3\n')
    done = run(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{expected}\n", "")


@pytest.mark.parametrize("name", ["kam-apply", "kam-check", "kam-rollback"])
def test_help_says_what_and_which_exit_codes(run: Run, name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(name)
    assert "Exit code" in done.stdout


def test_kam_check_works_without_an_engine(run: Run, bin_dir: Path, tmp_path: Path) -> None:
    program(bin_dir / "consul-kam", f'#!/bin/sh\nexec {sys.executable} -m consul_kam "$@"\n')
    listed = tmp_path / "dispatcher.list"
    listed.write_text("1 sip:192.0.2.1:99999 0 10\n")
    done = run("kam-check", str(listed), PYTHONPATH=str(REPO))
    assert done.returncode == 1
    assert "port" in done.stdout
