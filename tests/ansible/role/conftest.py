"""Debian before Ansible was there; one on which the role ran, for the whole run; each test boots a clone of either."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.role.play import Controller, Played, consul_template
from tests.hosts.host import Host
from tests.hosts.node import CONSUL, register, start_consul
from tests.hosts.packages import build_wheel, wheelhouse
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
def given(suite: str, wheel: Path) -> dict[str, Any]:
    """The variables of an SBC's inventory."""
    return {
        "consul_kam_role": "sbc",
        "consul_kam_address": "127.0.0.1",
        "consul_kam_wheel": str(wheel),
        "consul_kam_wheelhouse": str(wheelhouse(suite, wheel)),
        **consul_template(),
    }


Boot = Callable[..., Host]


@pytest.fixture(scope="session")
def booted(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Boot]:
    """`booted(directory, below)`: with consul in PATH and its agent, which knows router r1; all end with the run."""
    hosts = []

    def boot(directory: Path, *below: Path) -> Host:
        host = Host(directory, suite, below, {Path(program("consul")): "/usr/local/bin/consul"})
        hosts.append(host)
        host.start()
        host.write("/etc/systemd/system/consul.service", CONSUL)
        host.systemctl("daemon-reload")
        host.systemctl("add-wants", "multi-user.target", "consul.service")  # at the next boot it is there by itself
        start_consul(host)
        register(host, "r1")
        return host

    yield boot
    for host in hosts:
        host.stop()


@pytest.fixture
def pristine(booted: Boot, tmp_path: Path) -> Iterator[Host]:
    host = booted(tmp_path / "host")
    yield host
    host.stop()


@dataclass(frozen=True)
class Converged:
    """`upper`: the files that the role's first run added to Debian's; `first`: what that run said."""

    upper: Path
    first: Played


@pytest.fixture(scope="session")
def converged(booted: Boot, given: dict[str, Any], suite: str, tmp_path_factory: pytest.TempPathFactory) -> Converged:
    directory = tmp_path_factory.mktemp(f"converged-{suite}")
    host = booted(directory / "host")
    first = Controller(directory / "controller", host, **given).play("--diff")
    host.stop()
    # each clone is a machine of its own
    (host.upper / "etc/machine-id").unlink(missing_ok=True)
    shutil.rmtree(host.upper / "var/log/journal", ignore_errors=True)
    return Converged(host.upper, first)


@pytest.fixture
def node(booted: Boot, converged: Converged, tmp_path: Path) -> Iterator[Host]:
    """A clone of the converged host, with all of it at work."""
    host = booted(tmp_path / "host", converged.upper)
    host.wait("consul-kam.service", "is ready", ActiveState="active", StatusText="ready", timeout=90)
    yield host
    host.stop()


@pytest.fixture
def controller(given: dict[str, Any], tmp_path: Path) -> Callable[..., Controller]:
    """`controller(host, **variables)`"""
    return lambda host, **variables: Controller(tmp_path / "controller", host, **{**given, **variables})
