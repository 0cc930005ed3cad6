"""A node with everything on whose secrets all change as fast as they may: what it holds, and where none of them is."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import rotations_memory
from tests.lab import Lab, wait_for
from tests.lab.canary import Canary, lying
from tests.lab.node import Node
from tests.lab.secured import Secured
from tests.lab.secured_whole import SETS
from tests.secure.test_secrets_canary import COMMANDS, cli

pytestmark = pytest.mark.vault
SECRET = ("token", "password", "text", "key", "key.pem", "secret-id")
"""Names of files whose content is one."""


@pytest.mark.slow
def test_what_it_holds_does_not_grow() -> None:
    found = rotations_memory.run(3 * rotations_memory.FIRST)
    assert found["ok"], found
    assert min(found["by secret"][name] for name in rotations_memory.SECRETS) > 5, found


def test_more_than_it_may_hold_is_no_success() -> None:
    """The bench's own judgement."""
    first = {"rss_mb": 50.0, "fds": 40, "threads": 20, "files": 90}
    for change, ok in (
        ({}, True),
        ({"rss_mb": 54.9}, True),
        ({"rss_mb": 55.1}, False),
        ({"fds": 46}, False),
        ({"threads": 24}, False),
        ({"files": 200}, False),
    ):
        last = {**first, **change}
        assert rotations_memory.judged({"after 100": first, "after 200": last}, 200)["ok"] is ok, change
    heavy = {**first, "rss_mb": 96.0}
    assert not rotations_memory.judged({"after 100": heavy, "after 200": heavy}, 200)["ok"]


@pytest.fixture
def rotating(tmp_path: Path) -> Iterator[tuple[Node, Secured]]:
    with Lab(tmp_path / "lab"), ExitStack() as stack, rotations_memory.rotating(stack, tmp_path) as made:
        yield made


def parts(world: Secured) -> dict[str, bytes]:
    """Every secret of the node that lies on tmpfs now."""
    return lying(
        world.place / "whole", SECRET, lambda path: f"{path.parent.name.strip('.').partition('.')[0]} {path.name}"
    )


def test_no_secret_is_found_anywhere_with_everything_on(rotating: tuple[Node, Secured], tmp_path: Path) -> None:
    node, world = rotating
    with Canary(lambda: parts(world)) as canary:
        wait_for("30 rotations", lambda: rotations_memory.rotated(node) > 30, 120, node.log, 0.2)
        wanted = {
            "consul token",
            "consul_tls key",
            "db password",
            "db text",
            "sip key.pem",
            "page token",
            "Vault token",
        }
        assert wanted <= canary.names
        found = [line for words in COMMANDS for line in canary.said(" ".join(words), cli(node, *words))]
        assert {each["name"] for each in node.ask("status")["datasets"]} == set(SETS)
        assert node.stop() == 0
        # Vault keeps them, and so does PostgreSQL; `client` is whom Vault shows Consul, and what the nodes got
        found += canary.files(node.state, node.directory, node.kamailio.directory)
    assert found == []
    assert canary.seen == set()
    assert {"kamailio", "consul-template"} <= canary.processes, "they were looked at"
