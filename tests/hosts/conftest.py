"""One Debian of each suite with consul_kam installed, for the whole run; each test boots a clone of it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.host import Host
from tests.hosts.packages import build_wheel, install
from tests.lab.process import program
from tools.host_roots import SUITES


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(
    scope="session", params=[SUITES[0], *(pytest.param(each, marks=pytest.mark.slow) for each in SUITES[1:])]
)
def suite(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def installed(suite: str, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that an installation of consul_kam adds to Debian's."""
    directory = tmp_path_factory.mktemp(f"installed-{suite}")
    with Host(directory, suite) as host:
        install(host, wheel)
    # each clone is a machine of its own
    (host.upper / "etc/machine-id").unlink(missing_ok=True)
    shutil.rmtree(host.upper / "var/log/journal", ignore_errors=True)
    return host.upper


@pytest.fixture
def host(suite: str, installed: Path, tmp_path: Path) -> Iterator[Host]:
    """Debian with consul_kam in /opt/consul_kam, consul and consul-template in PATH; nothing of it configured."""
    binds = {Path(program(name)): f"/usr/local/bin/{name}" for name in ("consul", "consul-template")}
    with Host(tmp_path / "host", suite, [installed], binds) as started:
        yield started
