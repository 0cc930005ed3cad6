"""A secret that is missing, of a Vault that nobody reaches, takes no supervisor from what runs already."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from consul_kam.adapters import processes
from tests.integration.test_node import holds, register
from tests.lab import ConsulAgent, Lab, Node


@pytest.fixture
def table() -> Iterator[str]:
    """For the configuration; the secret's file never comes."""
    with TemporaryDirectory(dir="/dev/shm") as tmpfs:
        token = Path(tmpfs) / "token"
        token.write_text("a.b")
        token.chmod(0o600)
        yield (
            f'[vault]\naddress = "https://127.0.0.1:1"\ndirectory = "{tmpfs}/s"\n[vault.auth]\n'
            f'token_file = "{token}"\n[vault.secrets.db]\nkind = "database"\npath = "database/creds/k"\n'
        )


def hup(node: Node) -> None:
    node.hup()


def kill_and_start(node: Node) -> None:
    node.kill9()
    node.start()


@pytest.mark.parametrize("again", [hup, kill_and_start])
def test_what_runs_is_adopted_supervised_and_ended(
    again: Callable[[Node], None], lab: Lab, consul: ConsulAgent, table: str
) -> None:
    register(consul, 1)
    node = lab.node(consul, node_lines="boot_timeout = 600", registered=True)
    node.ready()
    holds(node, 1)
    before = {name: node.pid_of(name) for name in ("kamailio", "consul-template")}
    node.config.write_text(node.config.read_text().replace("verify_every = 30.0", "verify_every = 29") + table)
    again(node)
    node.logged("secrets: cannot reach Vault at https://127.0.0.1:1")
    assert {name: node.runs(name) for name in before} == before
    told = node.ask("status")["node"]
    assert [entry["adopted"] for entry in told["processes"]] == [True, True]
    if again is hup:
        node.ready()  # it was before, without that secret
    else:
        assert "secrets: db from Vault: " in told["waits_for"]
    assert told["registration"]["state"] != "off"
    os.kill(before["kamailio"], signal.SIGKILL)
    node.runs(other_than=before["kamailio"])
    register(consul, 2)
    holds(node, 1, 2)
    last = [found for name in before if (found := node.identity(name)) is not None]
    assert node.stop() == 0
    assert len(last) == len(before)
    assert not [pid for found in last for pid in processes.members(found)]


def test_a_consul_template_that_is_outdated_goes_on_until_the_next_one_may_be_started(
    lab: Lab, consul: ConsulAgent, table: str
) -> None:
    register(consul, 1)
    sets = '[[datasets.dispatcher.sets]]\nsetid = 1\nservice = "router"'
    node = lab.node(consul, node_lines="boot_timeout = 600", dispatcher=sets)
    node.ready()
    template = node.pid_of("consul-template")
    text = node.config.read_text()
    node.config.write_text(text.replace('"router"', '"router"\nstatic = ["sip:127.0.0.1:9 0 1"]') + table)
    node.hup()
    node.logged("secrets: cannot reach Vault at https://127.0.0.1:1")
    assert node.runs("consul-template") == template
    register(consul, 2)
    holds(node, 1, 2)
    assert node.pid_of("consul-template") == template
    node.config.write_text(text.replace('"router"', '"router"\nstatic = ["sip:127.0.0.1:9 0 1"]'))
    node.hup()
    node.runs("consul-template", other_than=template)
