"""Releases beside each other: up, back, and back by itself from one that does not come up."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.role.play import Controller, variant
from tests.hosts.host import Host
from tests.hosts.node import holds, kamailio_pid, register
from tests.lab import wait_for

UNIT = "consul-kam.service"
HOME = "/opt/consul_kam"
BROKEN = {"app.wiring": "def run(*_, **__):\n    raise SystemExit('this release is broken')"}
Controllers = Callable[..., Controller]


def links(host: Host) -> tuple[str, str]:
    """What `current` and `previous` name."""
    found = [host.path(f"{HOME}/{name}") for name in ("current", "previous")]
    return tuple(os.readlink(each).rpartition("/")[2] if each.is_symlink() else "" for each in found)  # type: ignore[return-value]


def version(host: Host) -> str:
    """As the process that runs was installed."""
    return host.path(f"/proc/{host.show(UNIT)['MainPID']}/cmdline").read_text().split("/")[4]


def listed(host: Host) -> list[str]:
    return sorted(path.name for path in host.path(f"{HOME}/releases").iterdir())


def works(host: Host, which: str) -> None:
    assert version(host) == which
    host.wait(UNIT, "is ready", ActiveState="active", StatusText="ready", timeout=60)
    register(host, "r1", "r2")
    holds(host, "r1", "r2", unit=UNIT)


@pytest.mark.slow
def test_up_and_back(node: Host, controller: Controllers, wheel: Path, tmp_path: Path) -> None:
    old, kamailio = version(node), kamailio_pid(node)
    play = controller(node)
    new = {"consul_kam_wheel": str(variant(wheel, "50.0", tmp_path / "new"))}
    settings = {"consul_kam_settings": {"verify_every": 25}}
    told = play.play("--check", "--diff", **new, **settings)
    assert (told.counts["failed"], told.did("The current release")) == (0, ["changed"])
    assert (links(node), listed(node)) == ((old, ""), [old])
    done = play.play(**new, **settings)
    assert done.did("The current release") == ["changed"]
    assert links(node) == ("50.0", old)
    works(node, "50.0")
    assert play.play(**new, **settings).counts["changed"] == 0
    back = play.play(tasks_from="rollback")
    assert back.did("It runs the current release") == ["ok"]
    assert links(node) == (old, "50.0")
    works(node, old)
    config = node.path("/etc/consul_kam/consul-kam.toml")
    assert "verify_every" not in config.read_text(), "as it was when that release was last at work"
    play.play(tasks_from="rollback")
    assert links(node) == ("50.0", old)
    assert "verify_every = 25" in config.read_text()
    works(node, "50.0")
    assert kamailio_pid(node) == kamailio, "no call was cut by any of it"


def test_one_that_does_not_become_ready_is_left_again(
    node: Host, controller: Controllers, wheel: Path, tmp_path: Path
) -> None:
    old, kamailio = version(node), kamailio_pid(node)
    play = controller(node)
    broken = variant(wheel, "51.0", tmp_path / "broken", **BROKEN)
    config = node.path("/etc/consul_kam/consul-kam.toml").read_text()
    done = play.play(check=False, consul_kam_wheel=str(broken), consul_kam_settings={"verify_every": 25})
    assert done.code != 0
    assert done.counts["rescued"] >= 1
    assert "cannot put release 51.0 to work on node: " in done.said
    assert f"{old} is at work again" in done.said
    assert "this release is broken" in done.said, "the reason is there to be read"
    assert links(node) == (old, "")
    assert node.path("/etc/consul_kam/consul-kam.toml").read_text() == config
    works(node, old)
    assert kamailio_pid(node) == kamailio


@pytest.mark.slow
def test_a_mended_one_of_the_same_version_may_come(
    node: Host, controller: Controllers, wheel: Path, tmp_path: Path
) -> None:
    old, play = version(node), controller(node)
    broken = variant(wheel, "51.0", tmp_path / "broken", **BROKEN)
    assert play.play(check=False, consul_kam_wheel=str(broken)).code != 0
    mended = variant(wheel, "51.0", tmp_path / "mended")
    play.play(consul_kam_wheel=str(mended))
    assert links(node) == ("51.0", old)
    works(node, "51.0")
    # and one that fails later goes back to that, with the one before still there
    broken = variant(wheel, "52.0", tmp_path / "broken", **BROKEN)
    assert play.play(check=False, consul_kam_wheel=str(broken)).code != 0
    assert links(node) == ("51.0", old)
    works(node, "51.0")


def test_one_that_does_not_even_start_touches_nothing(
    node: Host, controller: Controllers, wheel: Path, tmp_path: Path
) -> None:
    old, pid = version(node), node.show(UNIT)["MainPID"]
    broken = variant(wheel, "53.0", tmp_path / "broken", **{"cli.__init__": "raise SystemExit('no way')"})
    done = controller(node).play(check=False, consul_kam_wheel=str(broken))
    assert done.code != 0
    assert "cannot make release 53.0" in done.said
    assert "nothing that runs was touched" in done.said
    assert (links(node), listed(node), node.show(UNIT)["MainPID"]) == ((old, ""), [old], pid)
    assert not node.path(f"{HOME}/incoming").exists()
    # another wheel under the name of one that is there
    other = variant(wheel, old, tmp_path / "other", errors="# another")
    done = controller(node).play(check=False, consul_kam_wheel=str(other))
    assert done.code != 0
    assert f"release {old} is there, made from something else" in done.said
    assert node.show(UNIT)["MainPID"] == pid


@pytest.mark.slow
def test_an_installation_that_was_cut_off_is_begun_anew(
    node: Host, controller: Controllers, wheel: Path, tmp_path: Path
) -> None:
    node.write(f"{HOME}/releases/54.0/bin/consul-kam", "#!/bin/sh\nexit 1\n", 0o755)
    node.write(f"{HOME}/incoming/wheels/half", "half")
    controller(node).play(consul_kam_wheel=str(variant(wheel, "54.0", tmp_path / "new")))
    works(node, "54.0")


@pytest.mark.slow
def test_old_ones_go(node: Host, controller: Controllers, wheel: Path, tmp_path: Path) -> None:
    first: Any = version(node)
    play = controller(node, consul_kam_releases_kept=2)
    for number in (60, 61):
        play.play(consul_kam_wheel=str(variant(wheel, f"{number}.0", tmp_path / str(number))))
    assert listed(node) == ["60.0", "61.0"]
    play.play(tasks_from="rollback")
    play.play(consul_kam_wheel=str(variant(wheel, "62.0", tmp_path / "62")))
    assert (links(node), listed(node)) == (("62.0", "60.0"), ["60.0", "61.0", "62.0"])
    assert first not in listed(node)
    wait_for("it is ready", lambda: node.show(UNIT)["StatusText"] == "ready", 30)


@pytest.mark.slow
def test_a_first_one_that_does_not_come_up_has_none_to_go_back_to(
    pristine: Host, controller: Controllers, wheel: Path, tmp_path: Path
) -> None:
    broken = variant(wheel, "51.0", tmp_path / "broken", **BROKEN)
    done = controller(pristine).play(check=False, consul_kam_wheel=str(broken))
    assert done.code != 0
    assert "there is none to go back to" in done.said
    assert "this release is broken" in done.said
    controller(pristine).play()
    holds(pristine, "r1", unit=UNIT)
