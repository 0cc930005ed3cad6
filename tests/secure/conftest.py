"""One Consul agent for the whole directory; a lab, a place for secrets and a PostgreSQL for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.postgres import Postgres
from tests.lab.secrets import Secrets
from tests.lab.world import agent, consul, lab

__all__ = ["agent", "consul", "lab", "postgres", "secrets"]


@pytest.fixture
def secrets() -> Iterator[Secrets]:
    with Secrets() as made:
        yield made


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[Postgres]:
    with Postgres(tmp_path / "postgres") as started:
        started.ask("INSERT INTO htable (key_name, key_value) VALUES ('one', '1')")
        yield started
