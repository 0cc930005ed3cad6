"""A fleet that site.yml made, once for all tests of a run; each test powers on clones of its hosts."""

import faulthandler
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam import __version__
from tests.ansible.fleet.site import Site
from tests.hosts.packages import build_wheel, wheelhouse

SUITE = "bookworm"
OLD, NEW = __version__, "99.0"
NODES = ("router1", "router2", "router3", "sbc1", "sbc2")
"""In the order in which they are upgraded."""
FLEET = ("consul1", *NODES)
HOSTS = """\
all:
  children:
    consul_servers:
      hosts:
        consul1: {ansible_host: 192.0.2.41}
    consul_kam:
      children:
        router:
          hosts:
            router1: {ansible_host: 192.0.2.21}
            router2: {ansible_host: 192.0.2.22}
            router3: {ansible_host: 192.0.2.23}
        sbc:
          hosts:
            sbc1: {ansible_host: 192.0.2.11}
            sbc2: {ansible_host: 192.0.2.12}
"""
"""Two SBCs and three routers; all else as inventories/minimal has it."""
SBC = """\
consul_kam_role: sbc
# The carrier of the tests waits for 2 s, too.
consul_kam_settings: {drain: {quiet_for: 5}}
"""


LONGEST = 3600
"""Seconds that a test may take: node by node it needs more than pyproject.toml's 600 on a busy machine."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """One that hangs is ended all the same."""
    faulthandler.dump_traceback_later(LONGEST, exit=True, file=sys.__stderr__)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with this tree's release, one of number 99.0, and all that they need: nobody has a way out."""
    scratch = tmp_path_factory.mktemp("wheels")
    house = scratch / "wheels"
    house.mkdir()
    for wheel in (build_wheel(scratch / "old"), build_wheel(scratch / "new", NEW)):
        shutil.copy(wheel, house)
    for wheel in wheelhouse(SUITE, next(house.glob("*.whl"))).iterdir():
        shutil.copy(wheel, house)
    return house


def release(number: str) -> list[str]:
    """What names a release on the command line."""
    return ["-e", f"consul_kam_version={number}"]


def inventory(site: Site) -> str:
    """Of `FLEET`, on the controller; it finds its releases in `wheels` of the tree."""
    place = site.tree / "ansible" / "inventories" / "fleet"
    if not place.exists():
        shutil.copytree(place.with_name("minimal"), place)
        (place / "hosts.yml").write_text(HOSTS)
        (place / "group_vars" / "sbc.yml").write_text(SBC)
    return "inventories/fleet"


@pytest.fixture(scope="session")
def converged(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The disks of `FLEET` as site.yml left them, the older release on them."""
    with Site(tmp_path_factory.mktemp("converged"), SUITE) as site:
        (site.tree / "wheels").symlink_to(wheels)
        site.boot(*FLEET)
        site.play("site.yml", "-i", inventory(site), *release(OLD))
        return site.keep()


@pytest.fixture
def fleet(converged: dict[str, Path], wheels: Path, tmp_path: Path) -> Iterator[Site]:
    """`FLEET`, powered on, each node ready."""
    with Site(tmp_path / "site", SUITE) as site:
        (site.tree / "wheels").symlink_to(wheels)
        site.boot(*FLEET, kept=converged)
        site.play("undrain.yml", "-i", inventory(site))
        yield site
