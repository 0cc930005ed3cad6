"""A node whose programs are others' goes on in Consul, and with its lists, while a secret is missing that it got along
without until SIGHUP.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import pytest

from consul_kam.adapters.control import ControlUnreachable
from tests.integration.test_node import holds, register
from tests.lab import ConsulAgent, Lab, Node, wait_for

TTL = 6
MORE = f"""
[consul_template]
mode = "attach"
[registration]
enabled = true
port = 5060
ttl = {TTL}
every = 0.2
check_timeout = 20
"""
AWAY = "secrets: cannot reach Vault at https://127.0.0.1:1"


class Told:
    """What the agent says of the node's checks, all the time, within a `with` block; each other word once."""

    def __init__(self, consul: ConsulAgent) -> None:
        self._consul, self.words, self._over = consul, list[dict[str, str]](), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def now(self) -> dict[str, str]:
        _, found = self._consul.once("GET", "/v1/agent/checks")  # of this thread
        return {each["Name"]: each["Status"] for each in json.loads(found).values() if each["ServiceName"] == "sbc"}

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            try:
                now = self.now
            except OSError:  # an agent that is late is asked again
                continue
            if not self.words or self.words[-1] != now:
                self.words.append(now)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


WELL = [{"consul_kam: status page": "passing", "consul_kam: ready": "passing"}]


@pytest.fixture
def tmpfs() -> Iterator[Path]:
    with TemporaryDirectory(dir="/dev/shm") as made:
        yield Path(made)


def vault(tmpfs: Path, of_the_environment: bool) -> str:
    """For the configuration; the secret's file never comes."""
    token = tmpfs / "token"
    token.write_text("a.b")
    token.chmod(0o600)
    env = f'[env]\nlayers = ["c4"]\ninclude = "{tmpfs}/env.cfg"\n[env.vars.DBURL]\nvalue = "secret://db/password"\n'
    return (
        f'[vault]\naddress = "https://127.0.0.1:1"\ndirectory = "{tmpfs}/s"\n[vault.auth]\n'
        f'token_file = "{token}"\n[vault.secrets.db]\nkind = "database"\npath = "database/creds/k"\n'
    ) + env * of_the_environment


def started(lab: Lab, consul: ConsulAgent, lines: str = "boot_timeout = 600") -> Node:
    register(consul, 1)
    node = lab.node(consul, spawn=False, more=MORE, node_lines=lines)
    lab.consul_template(consul, [node.template()])
    node.ready()
    holds(node, 1)
    wait_for("checks", lambda: [Told(consul).now] == WELL, 20, node.log)
    return node


def longer_than_its_ttl() -> None:
    time.sleep(2 * TTL)


@pytest.mark.parametrize("of_the_environment", [False, True], ids=["nobody's", "the environment's"])
def test_a_new_secret_that_is_missing_takes_nothing_from_a_node_that_was_well(
    lab: Lab, consul: ConsulAgent, tmpfs: Path, of_the_environment: bool
) -> None:
    node = started(lab, consul)
    node.config.write_text(node.config.read_text() + vault(tmpfs, of_the_environment))
    with Told(consul) as told:
        node.hup()
        node.logged(AWAY)
        longer_than_its_ttl()
        register(consul, 2)
        holds(node, 1, 2)
        consul.deregister(f"node-{node.directory.name}")
        node.logged("had lost it", 20)
        wait_for("it is back", lambda: told.words[-1] in WELL, 20, node.log)
    assert [word for word in told.words if word not in (*WELL, {})] == []
    status = node.ask("status")["node"]
    assert (status["waits_for"], status["registration"]["state"]) == ("", "registered")
    assert status["secrets"]["secrets"][0]["state"] == "waiting"
    assert AWAY.removeprefix("secrets: ") in "".join(status["secrets"]["troubles"])


def test_sighup_alone_says_nothing_bad_to_consul(lab: Lab, consul: ConsulAgent) -> None:
    """Its probes begin anew, and one of them looks once a second."""
    node = started(lab, consul)
    with Told(consul) as told:
        for _ in range(3):
            before = node.log.read_text().count("probe well")
            node.hup()
            wait_for("all probes", lambda n=before: node.log.read_text().count("probe well") >= n + 6, 20, node.log)
    assert told.words == WELL


def test_what_is_not_well_is_told_after_sighup_too(lab: Lab, consul: ConsulAgent) -> None:
    node = started(lab, consul)
    with Told(consul) as told:
        node.hup()
        node.kamailio.stop()
        wait_for("critical", lambda: told.words and set(told.words[-1].values()) == {"critical"}, 30, node.log)


def waits_for(node: Node) -> str:
    try:
        return str(node.ask("status")["node"]["waits_for"])
    except ControlUnreachable:  # between two configurations
        return ""


def stays(node: Node) -> None:
    node.hup()


def begins(node: Node) -> None:
    node.kill9()
    node.start()


@pytest.mark.parametrize("again", [stays, begins])
def test_who_begins_without_a_secret_is_not_well(
    lab: Lab, consul: ConsulAgent, tmpfs: Path, again: Callable[[Node], None]
) -> None:
    """SIGHUP makes it no better: it was not well before."""
    node = started(lab, consul, "boot_timeout = 1")
    node.config.write_text(node.config.read_text() + vault(tmpfs, of_the_environment=False))
    begins(node)
    node.logged("going on without secrets from Vault")
    wait_for("critical", lambda: Told(consul).now["consul_kam: ready"] == "critical", 20, node.log)
    again(node)
    wait_for("it waits", lambda: waits_for(node).startswith("secrets: db from Vault: "), 20, node.log)
