"""A fleet that site.yml made, once for all tests of a run; each test powers on clones of its hosts."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.ansible.fleet.site import Site
from tests.hosts.packages import build_wheel, wheelhouse

SUITE = "bookworm"
FLEET = ("consul1", "router1", "router2", "router3", "sbc1", "sbc2")
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


class Wheels(NamedTuple):
    old: Path
    new: Path
    house: Path


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """Two releases, and the wheels of all that they need: hosts and controller have no way out."""
    scratch = tmp_path_factory.mktemp("wheels")
    old = build_wheel(scratch / "old")
    return Wheels(old, build_wheel(scratch / "new", "99.0"), wheelhouse(SUITE, old))


def release(wheel: Path, wheels: Wheels) -> list[str]:
    """What names a release on the command line."""
    return ["-e", f"consul_kam_wheel={wheel}", "-e", f"consul_kam_wheelhouse={wheels.house}"]


def inventory(site: Site) -> str:
    """Of `FLEET`, on the controller."""
    place = site.tree / "ansible" / "inventories" / "fleet"
    if not place.exists():
        shutil.copytree(place.with_name("minimal"), place)
        (place / "hosts.yml").write_text(HOSTS)
        (place / "group_vars" / "sbc.yml").write_text(SBC)
    return "inventories/fleet"


@pytest.fixture(scope="session")
def converged(wheels: Wheels, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The disks of `FLEET` as site.yml left them, the older release on them."""
    with Site(tmp_path_factory.mktemp("converged"), SUITE) as site:
        site.boot(*FLEET)
        site.play("site.yml", "-i", inventory(site), *release(wheels.old, wheels))
        return site.keep()


@pytest.fixture
def fleet(converged: dict[str, Path], tmp_path: Path) -> Iterator[Site]:
    """`FLEET`, powered on, each node ready."""
    with Site(tmp_path / "site", SUITE) as site:
        site.boot(*FLEET, kept=converged)
        site.play("undrain.yml", "-i", inventory(site))
        yield site
