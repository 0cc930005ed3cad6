"""Consul's token in a file of anybody's: consul-template, which reads it once, is started anew for another one only."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, uris, wait_for
from tests.lab.world import uri

LEAST = """
service_prefix "" { policy = "read" }
node_prefix "" { policy = "read" }
agent_prefix "" { policy = "read" }
service "sbc" { policy = "write" }
"""


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[ConsulAgent]:
    with ConsulAgent(tmp_path / "consul", acl=True) as started:
        yield started


def test_for_another_token_and_for_nothing_else(tmp_path: Path, consul: ConsulAgent, lab: Lab) -> None:
    tokens = [consul.create_token(LEAST) for _ in range(3)]
    file = tmp_path / "token"

    def write(text: str) -> None:
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").chmod(0o600)
        (tmp_path / "new").replace(file)

    def restarts() -> int:
        return node.log.read_text().count("restarting process=consul-template")

    def holds(*numbers: int) -> None:
        seen.wait_until(lambda memory: uris(memory) == [uri(number) for number in numbers], 30)

    write(tokens[0])
    consul.register("router", "r01", port=int(uri(1).rpartition(":")[2]))
    node = lab.node(consul, start=False, registered=True)
    node.config.write_text(node.config.read_text().replace("[consul]\n", f'[consul]\ntoken_file = "{file}"\n'))
    node.start()
    node.ready()
    seen = lab.sampler(node.kamailio)
    holds(1)
    write(f"{tokens[0]}\n")
    file.unlink()
    node.logged("cannot read the token file")
    write(tokens[0])
    node.logged("registration is well again")
    assert restarts() == 0, "it is the same, and to be without one is no reason"
    write(tokens[1])
    wait_for("the second token", lambda: restarts() == 1, 20, node.log)
    consul.register("router", "r02", port=int(uri(2).rpartition(":")[2]))
    holds(1, 2)
    node.kill9()
    write(tokens[2])
    node.start()
    wait_for("the third token", lambda: restarts() == 2, 20, node.log)
    node.logged('reason="its configuration changed"')
    consul.register("router", "r03", port=int(uri(3).rpartition(":")[2]))
    holds(1, 2, 3)
    node.kill9()
    pid = node.identity("consul-template")
    node.start()
    node.ready()
    assert (restarts(), node.identity("consul-template")) == (2, pid), "who has the token is adopted"
    assert "event=ended" not in node.log.read_text(), "an end that we asked for is told once, as a restart"
    assert {line.split()[0] for line in node.log.read_text().splitlines() if "restarting" in line} == {"level=info"}
    os.kill(node.pid_of("consul-template"), signal.SIGKILL)
    assert node.logged("event=ended process=consul-template").startswith("level=warning "), "nobody asked for this one"
