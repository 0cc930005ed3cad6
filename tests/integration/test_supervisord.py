"""examples/supervisord/consul-kam.conf with the real supervisord: only the paths are ours."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.control import ControlUnreachable
from tests.lab import ConsulAgent, Lab, LabError, Node, Process, wait_for
from tests.lab.engine import ROOT

CONF = ROOT / "examples" / "supervisord" / "consul-kam.conf"
BIN = ROOT / ".venv" / "supervisor" / "bin"
OWN = """\
[supervisord]
nodaemon=true
logfile={directory}/supervisord.log
pidfile={directory}/supervisord.pid
childlogdir={directory}
[unix_http_server]
file={socket}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{socket}
[include]
files={directory}/consul-kam.conf
"""


class Supervisord:
    """It runs the example's program for a node that is laid out and not started."""

    def __init__(self, directory: Path, node: Node) -> None:
        if not (BIN / "supervisord").exists():
            raise LabError(f"cannot find supervisord in {BIN}: ./dev test makes it")
        directory.mkdir()
        self._conf = directory / "supervisord.conf"
        self._node, self._directory = node, directory
        self._conf.write_text(OWN.format(directory=directory, socket=node.kamailio.run / "sv"))
        text = CONF.read_text()
        for path, ours in (
            ("/opt/consul_kam/bin/consul-kam", str(Path(sys.executable).with_name("consul-kam"))),
            ("/var/log/consul_kam.log", str(node.log)),
        ):
            assert text.count(path) == 1
            text = text.replace(path, ours)
        (directory / "consul-kam.conf").write_text(text)
        self._process: Process | None = None

    def start(self) -> None:
        argv = [BIN / "supervisord", "-c", self._conf]
        self._process = Process(argv, self._directory / "out.log", env=self._node.env)

    def ctl(self, *words: str) -> str:
        argv = [BIN / "supervisorctl", "-c", self._conf, *words]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False).stdout

    def end(self) -> int | None:
        return self._process.stop(signal.SIGTERM, 60) if self._process is not None else None


def engine_pid(node: Node) -> int:
    """Of the consul_kam that answers, 0 for none."""
    try:
        return int(node.ask("status")["pid"])
    except ControlUnreachable:
        return 0


@pytest.fixture
def node(lab: Lab, consul: ConsulAgent) -> Node:
    consul.register("router", "r1", port=5071)
    return lab.node(consul, start=False)


@pytest.fixture
def supervisord(node: Node, tmp_path: Path) -> Iterator[Supervisord]:
    started = Supervisord(tmp_path / "supervisord", node)
    started.start()
    try:
        wait_for("consul_kam", lambda: engine_pid(node), 30, node.log)
        node.ready()
        yield started
    finally:
        started.end()


def test_it_starts_and_ends_a_node(supervisord: Supervisord, node: Node) -> None:
    # it says STARTING for startsecs
    wait_for("RUNNING", lambda: "RUNNING" in supervisord.ctl("status", "consul-kam"), 30, node.log)
    pids = [engine_pid(node), node.pid_of(), node.pid_of("consul-template")]
    assert "stopped" in supervisord.ctl("stop", "consul-kam")
    assert not any(alive(pid) for pid in pids)
    assert not node.kamailio.answers_options()
    assert "started" in supervisord.ctl("start", "consul-kam")
    wait_for("consul_kam", lambda: engine_pid(node), 30, node.log)
    node.ready()
    assert node.kamailio.answers_options()


@pytest.mark.slow
def test_its_own_end_is_the_nodes(supervisord: Supervisord, node: Node) -> None:
    pids = [engine_pid(node), node.pid_of(), node.pid_of("consul-template")]
    assert supervisord.end() == 0
    assert not any(alive(pid) for pid in pids)


def test_what_consul_kam_started_outlives_its_sudden_end(supervisord: Supervisord, node: Node) -> None:
    for _ in range(3):
        engine, kamailio, template = engine_pid(node), node.pid_of(), node.pid_of("consul-template")
        os.kill(engine, signal.SIGKILL)
        wait_for("another consul_kam", lambda engine=engine: engine_pid(node) not in (0, engine), 30, node.log)  # type: ignore[misc]
        node.ready()
        assert (node.pid_of(), node.pid_of("consul-template")) == (kamailio, template)
        assert all(process["adopted"] for process in (node.process(), node.process("consul-template")))
        for pid in (kamailio, template):
            assert os.readlink(f"/proc/{pid}/fd/2") == str(node.log), "no pipe that ended with its reader"
    # it says STARTING for startsecs
    wait_for("RUNNING", lambda: "RUNNING" in supervisord.ctl("status", "consul-kam"), 30, node.log)
    supervisord.ctl("stop", "consul-kam")
    assert not alive(kamailio)
    assert not alive(template)


@pytest.mark.slow
def test_a_configuration_that_is_wrong_is_tried_again(supervisord: Supervisord, node: Node) -> None:
    right = node.config.read_text()
    supervisord.ctl("stop", "consul-kam")
    node.config.write_text("[node]\nrole = 7\n")
    supervisord.ctl("start", "consul-kam")
    wait_for("four failures", lambda: node.log.read_text().count("node.role") >= 4, 60, node.log)
    node.config.write_text(right)
    wait_for("consul_kam", lambda: engine_pid(node), 60, node.log)
    wait_for("startsecs", lambda: "RUNNING" in supervisord.ctl("status", "consul-kam"), 30, node.log)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
