"""`consul-kam env exec --restart`: a program that is started anew for a new environment, and for nothing else."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from consul_kam.adapters import consul_kv
from consul_kam.adapters.consul import Consul
from consul_kam.app.env_layers import WAIT
from tests.integration.test_env import Node, put
from tests.lab import ConsulAgent, Lab, wait_for
from tests.lab.engine import ROOT

PROGRAM = """\
import os, signal, sys, time
def say(*words):
    os.write(out, (" ".join(map(str, words)) + "\\n").encode())
def told(number, _):
    say(os.getpid(), signal.Signals(number).name)
    if number == signal.SIGTERM and "stubborn" not in sys.argv:
        sys.exit(7)
out = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT):
    signal.signal(number, told)
if "child" in sys.argv and os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(os.getpid(), "child")
    time.sleep(600)
say(os.getpid(), "LEVEL=" + os.environ.get("LEVEL", ""), "TOKEN=" + os.environ.get("CONSUL_HTTP_TOKEN", ""))
if "short" in sys.argv:
    sys.exit(3)
while True:
    time.sleep(600)
"""


class Kept:
    """The command, and what its programs said: [(pid, words)]."""

    def __init__(self, node: Node, *words: str, options: tuple[str, ...] = ()) -> None:
        self.said_to = node.directory / "said"
        self.log = node.directory / "exec.log"
        script = node.directory / "program.py"
        script.write_text(PROGRAM)
        env = {**os.environ, "CONSUL_KAM_CONFIG": str(node.config), "PYTHONPATH": str(ROOT), "CONSUL_HTTP_TOKEN": ""}
        argv = [sys.executable, "-m", "consul_kam", "env", "exec", "--restart", *options, "--", sys.executable]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*argv, script, self.said_to, *words], env=env, stderr=log)

    @property
    def said(self) -> list[tuple[int, str]]:
        lines = self.said_to.read_text().splitlines() if self.said_to.exists() else []
        return [(int(pid), words) for pid, _, words in (line.partition(" ") for line in lines)]

    def says(self, text: str, times: int = 1) -> int:
        """Waits; the pid of the last one that said it."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [pid for pid, words in self.said if words.startswith(text)]
            return len(found) >= times

        wait_for(f"{text!r} {times} times, in {self.said}", look, 30, self.log, 0.05)
        return found[-1]

    def logs(self, text: str) -> None:
        wait_for(f"{text!r}", lambda: text in self.log.read_text(), 30, self.log, 0.05)

    def end(self) -> None:
        for process in (*psutil.Process(self.process.pid).children(recursive=True), self.process):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait(30)


@pytest.fixture
def node(tmp_path: Path, consul: ConsulAgent) -> Node:
    put(consul, global__DBURL="mysql://h/d", global__LEVEL="low")
    return often(tmp_path, consul)


def often(directory: Path, consul: ConsulAgent, every: float = 0.2) -> Node:
    """A node that looks so often, s."""
    made = Node(directory, consul)
    made.config.write_text(made.config.read_text().replace("allow = ", f"every = {every}\nallow = "))
    return made


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextlib.contextmanager
def kept(node: Node, *words: str, options: tuple[str, ...] = ()) -> Iterator[Kept]:
    made = Kept(node, *words, options=options)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.end()


def test_kv_is_followed(tmp_path: Path, consul: ConsulAgent) -> None:
    """Nobody looks in this hour."""
    put(consul, global__DBURL="mysql://h/d", global__LEVEL="low")
    with kept(often(tmp_path, consul, every=3600)) as program:
        program.says("LEVEL=low")
        put(consul, role__sbc__LEVEL="high")
        program.says("LEVEL=high")
        program.process.terminate()
        assert program.process.wait(30) == 7


@pytest.mark.slow
def test_what_is_deleted_by_a_folder_above_the_layer(tmp_path: Path, consul: ConsulAgent) -> None:
    """Consul gives the layer the index of an older deletion, and wakes nobody: it shows with the next question."""
    put(consul, global__DBURL="mysql://h/d", global__LEVEL="low", role__sbc__LEVEL="high", role__sbc__SIP_PORT="5070")
    consul.kv_delete("c4/role/sbc/SIP_PORT")
    put(consul, role__sbc__LEVEL="high")
    with kept(often(tmp_path, consul)) as program:
        program.says("LEVEL=high")
        ours = Consul(consul.address)
        before = consul_kv.read(ours, "c4/role/sbc").index
        consul.kv_delete("c4/role", recurse=True)
        assert consul_kv.read(ours, "c4/role/sbc").index <= before, "Consul tells of it now: mend docs/environment.md"
        wait_for("the other layer's", lambda: program.said[-1][1].startswith("LEVEL=low"), 3 * WAIT, program.log)


def test_a_new_value_is_another_start_and_what_it_says_at_its_end_is_ours(node: Node, consul: ConsulAgent) -> None:
    with kept(node) as program:
        first = program.says("LEVEL=low")
        put(consul, role__sbc__LEVEL="high")
        second = program.says("LEVEL=high TOKEN=")
        assert (first, "SIGTERM") in program.said
        assert first != second
        assert json.loads(node.known.read_text())["values"]["LEVEL"]["text"] == "high"
        for number in (signal.SIGHUP, signal.SIGUSR1):
            program.process.send_signal(number)
            assert program.says(number.name) == second
        program.process.terminate()
        assert program.process.wait(30) == 7
        assert program.said[-1] == (second, "SIGTERM")
        assert [words for _, words in program.said if words.startswith("LEVEL")] == [
            "LEVEL=low TOKEN=",
            "LEVEL=high TOKEN=",
        ]


def test_an_end_of_its_own_is_ours(node: Node, consul: ConsulAgent) -> None:
    with kept(node, "short") as program:
        assert program.process.wait(30) == 3
        assert len(program.said) == 1
    with kept(node) as program:
        os.kill(program.says("LEVEL=low", 2), signal.SIGKILL)
        assert program.process.wait(30) == 128 + signal.SIGKILL


def test_what_is_wrong_or_away_ends_nothing(lab: Lab, tmp_path: Path) -> None:
    consul = lab.consul()
    put(consul, global__DBURL="mysql://h/d", global__LEVEL="low")
    node = often(tmp_path, consul)
    with kept(node) as program:
        first = program.says("LEVEL=low")
        put(consul, global__LEVEL="no such")
        program.logs("c4/global/LEVEL is none of low, high")
        consul.kv_delete("c4/global/DBURL")
        program.logs("DBURL is required and in no layer; its last good value stays")
        put(consul, global__DBURL="mysql://h/d", global__LEVEL="high")
        second = program.says("LEVEL=high")
        for layer in ("global", "role"):
            consul.kv_delete(f"c4/{layer}/", recurse=True)
        program.logs("KV has nothing any more below c4/global/")
        consul.stop()
        program.logs("cannot reach Consul")
        program.process.send_signal(signal.SIGHUP)
        assert program.says("SIGHUP") == second
        words = ["LEVEL=low TOKEN=", "SIGTERM", "LEVEL=high TOKEN=", "SIGHUP"]
        assert program.said == list(zip((first, first, second, second), words, strict=True))
        assert program.log.read_text().count("is none of") == 1, "told once"


def test_where_nothing_can_be_kept_it_knows_what_it_started_with(tmp_path: Path, consul: ConsulAgent) -> None:
    """As in a read-only image; a KV that has nothing any more is not believed there either."""
    put(consul, global__DBURL="mysql://h/d", global__LEVEL="low")
    node = often(tmp_path, consul)
    (tmp_path / "file").touch()
    text = node.config.read_text()
    assert "state_dir = " in text
    node.config.write_text(re.sub('state_dir = ".*"', f'state_dir = "{tmp_path}/file/state"', text))
    with kept(node) as program:
        program.says("LEVEL=low")
        consul.kv_delete("c4/global/", recurse=True)
        program.logs("KV has nothing any more below c4/global/")
        assert [words for _, words in program.said] == ["LEVEL=low TOKEN="]


def test_who_does_not_end_is_killed_with_all_that_is_his(node: Node, consul: ConsulAgent) -> None:
    with kept(node, "stubborn", "child", options=("--kill-after", "3")) as program:
        child = program.says("child")
        first = program.says("LEVEL=low")
        put(consul, global__LEVEL="high")
        program.says("LEVEL=high")
        assert (first, "SIGTERM") in program.said
        assert (lives(child), lives(first)) == (False, False)


def test_told_to_end_while_it_is_to_start_anew_it_ends(node: Node, consul: ConsulAgent) -> None:
    with kept(node, "stubborn") as program:
        pid = program.says("LEVEL=low")
        put(consul, global__LEVEL="high")
        program.says("SIGTERM")
        program.process.terminate()
        program.says("SIGTERM", 2)
        os.kill(pid, signal.SIGKILL)
        assert program.process.wait(30) == 128 + signal.SIGKILL
        assert [words for _, words in program.said] == ["LEVEL=low TOKEN=", "SIGTERM", "SIGTERM"]


def test_within_the_splay_it_goes_on(node: Node, consul: ConsulAgent) -> None:
    with kept(node, options=("--splay", "86400")) as program:
        first = program.says("LEVEL=low")
        put(consul, global__LEVEL="high")
        put(consul, global__SIP_PORT="no such")
        program.logs("is no whole number")  # so the other was seen as well
        program.process.send_signal(signal.SIGHUP)
        assert program.says("SIGHUP") == first
        program.process.terminate()
        assert program.process.wait(30) == 7
        assert [words for _, words in program.said] == ["LEVEL=low TOKEN=", "SIGHUP", "SIGTERM"]


def test_nothing_is_started_without_what_is_required(node: Node, consul: ConsulAgent) -> None:
    consul.request("DELETE", "/v1/kv/c4/global/DBURL")
    with kept(node) as program:
        assert program.process.wait(30) == 1
        assert program.log.read_text().startswith("cannot start ")
        assert "DBURL is required and in no layer" in program.log.read_text()
        assert program.said == []
    ran = node.ran("env", "exec", "--restart", "--", "/no/such")
    assert ran.returncode == 1
