"""The image's entry point, as process 1 of a PID namespace; the image itself cannot be built here."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.control import ControlUnreachable
from consul_kam.config import load
from tests.lab import ConsulAgent, Lab, Node, Process, program, wait_for
from tests.lab.engine import ROOT
from tests.lab.process import tail

IMAGE = ROOT / "examples" / "image"
CONTAINERFILE = (IMAGE / "Containerfile").read_text()


def instruction(name: str) -> list[str]:
    """The arguments of each, with lines joined."""
    text = CONTAINERFILE.replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def entry_point() -> list[str]:
    (words,) = instruction("ENTRYPOINT")
    found: list[str] = json.loads(words)
    assert found[0] == "/opt/consul_kam/bin/consul-kam"
    return [str(Path(sys.executable).with_name("consul-kam")), *found[1:]]


class Container:
    """The entry point for a node that is laid out; numbers of processes are ours."""

    def __init__(self, node: Node) -> None:
        self.node = node
        argv = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--", *entry_point()]
        self.process = Process(argv, node.log, env=node.env)

    def up(self) -> bool:
        assert self.process.alive(), tail(self.node.log)
        try:
            return bool(self.node.ask("status")["pid"])
        except ControlUnreachable:
            return False

    @property
    def first(self) -> int:
        """Process 1."""
        (pid,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(pid)

    def all(self) -> dict[int, str]:
        """Every process of the namespace, with its state (Z: a zombie)."""
        space, found = os.readlink(f"/proc/{self.first}/ns/pid"), {}
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if os.readlink(entry / "ns/pid") == space:
                    found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
        return found

    def run(self, script: str) -> str:
        argv = [program("nsenter"), f"--target={self.first}", "--pid", "--mount", "sh", "-c", script]
        return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.fixture
def container(lab: Lab, consul: ConsulAgent) -> Iterator[Container]:
    consul.register("router", "r1", port=5071)
    started = Container(lab.node(consul, start=False))
    try:
        wait_for("the entry point's control socket", started.up, 30, started.node.log)
        started.node.ready()
        yield started
    finally:
        started.process.stop(signal.SIGKILL)


def test_it_is_process_one_with_its_programs(container: Container) -> None:
    assert "consul-kam" in container.run("tr '\\0' ' ' </proc/1/cmdline")
    assert container.node.ask("status")["pid"] == 1
    states = container.all()
    assert len(states) > 4, "consul_kam, consul-template, Kamailio and its workers"
    wait_for("no zombies", lambda: "Z" not in container.all().values(), 20)


def test_orphans_are_reaped(container: Container) -> None:
    before = set(container.all())
    # each leaves a grandchild that ends later, as process 1's child
    for _ in range(20):
        container.run("(sleep 5 &) >/dev/null 2>&1")
    orphans = set(container.all()) - before
    assert orphans, "they live"
    wait_for("an end without zombies", lambda: not orphans & set(container.all()), 20)
    assert container.node.process()["pid"], "and none of its own was taken for one"


def test_a_kamailio_that_dies_is_reaped_and_started_again(container: Container) -> None:
    old = container.node.pid_of()
    container.run(f"kill -9 {old}")
    container.node.runs(other_than=old)
    container.node.ready()
    wait_for("no zombies", lambda: "Z" not in container.all().values(), 20)
    assert container.node.kamailio.answers_options(10.0)


def test_sigterm_ends_it_in_order(container: Container) -> None:
    first, pids = container.first, set(container.all())
    os.kill(first, signal.SIGTERM)
    wait_for("its end", lambda: not container.process.alive(), 30, container.node.log)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    log = container.node.log.read_text()
    assert 0 < log.index("ending") < log.rindex("kamailio") < log.rindex("consul-template"), "Kamailio first"


def test_what_it_copies_is_there() -> None:
    for line in instruction("COPY"):
        if not line.startswith("--from"):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists(), source


def test_its_configuration_is_valid_and_fits_the_file_system(tmp_path: Path) -> None:
    settings = load(str(IMAGE / "consul-kam.toml"))
    assert settings.kamailio.mode == "spawn"
    (made,) = (line for line in instruction("RUN") if "install -d" in line)
    for each in settings.enabled:
        assert each.file is not None
        assert str(each.file.parent) in made.split()
    (cfg,) = (word for word in settings.kamailio.command or [] if word.endswith(".cfg"))
    assert any(Path(cfg).name in line for line in instruction("COPY"))
