"""Where a release and consul-template come from; every one of them without a way out of the host."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.role.play import Controller
from tests.hosts.host import Host
from tests.hosts.node import holds
from tests.lab import wait_for

UNIT = "consul-kam.service"
Controllers = Callable[..., Controller]


def index(host: Host, house: Path, wheel: Path) -> str:
    """A package index (PEP 503) in the host, at this URL; its server's journal says who asked for what."""
    for path in (*house.glob("*.whl"), wheel):
        name = re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower()
        host.copy(path, f"/srv/index/simple/{name}/{path.name}")
    host.write(
        "/etc/systemd/system/index.service",
        "[Service]\nExecStart=/usr/bin/python3 -u -m http.server 8099 --bind 127.0.0.1 --directory /srv/index\n",
    )
    host.systemctl("daemon-reload")
    host.systemctl("start", "index.service")
    look = ("python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8099/simple/')")
    wait_for("the index", lambda: host.run(*look, check=False).returncode == 0, 20, every=0.1)
    return "http://user:secret-of-the-index@127.0.0.1:8099/simple/"


@pytest.mark.slow
def test_an_index_and_a_consul_template_that_is_there(
    pristine: Host, controller: Controllers, given: dict[str, Any], wheel: Path
) -> None:
    pristine.copy(Path(given["consul_kam_consul_template_file"]), "/usr/bin/consul-template")
    pristine.path("/usr/bin/consul-template").chmod(0o755)
    version = wheel.name.split("-")[1]
    play = controller(
        pristine,
        consul_kam_source="index",
        consul_kam_index_url=index(pristine, Path(given["consul_kam_wheelhouse"]), wheel),
        consul_kam_version=version,
        consul_kam_wheel="",
        consul_kam_wheelhouse="",
        consul_kam_consul_template_source="installed",
        consul_kam_consul_template_file="",
    )
    done = play.play("-vvv", "--diff")
    assert "secret-of-the-index" not in done.said
    assert "GET /simple/consul-kam/" in pristine.journal("index.service"), "it was asked"
    assert not pristine.path("/usr/local/bin/consul-template").exists()
    assert pristine.path(f"/opt/consul_kam/releases/{version}/.complete").read_text() == "index"
    holds(pristine, "r1", unit=UNIT)
    assert play.play().counts["changed"] == 0
    play.play(consul_kam_state="absent")
    assert pristine.path("/usr/bin/consul-template").exists(), "it is not the role's"


@pytest.mark.slow
def test_a_wheelhouse_alone(
    pristine: Host, controller: Controllers, given: dict[str, Any], wheel: Path, tmp_path: Path
) -> None:
    house = tmp_path / "house"
    house.mkdir()
    for path in (*Path(given["consul_kam_wheelhouse"]).glob("*.whl"), wheel):
        (house / path.name).write_bytes(path.read_bytes())
    play = controller(pristine, consul_kam_source="wheelhouse", consul_kam_wheel="", consul_kam_wheelhouse=str(house))
    play.play()
    assert pristine.path(f"/opt/consul_kam/releases/{wheel.name.split('-')[1]}/.complete").exists()
    holds(pristine, "r1", unit=UNIT)
    assert play.play().counts["changed"] == 0
