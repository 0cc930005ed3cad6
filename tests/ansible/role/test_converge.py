"""From a bare Debian to a node that works, without a network; then nothing changes; check mode tells the truth."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.ansible.role.conftest import Converged
from tests.ansible.role.play import NEWEST, OLDEST, Controller
from tests.hosts.host import Host
from tests.hosts.node import holds, kamailio_pid, register

UNIT = "consul-kam.service"
PLACES = ("/etc", "/opt", "/usr", "/var/lib", "/run/consul_kam.ask")
Controllers = Callable[..., Controller]


def files(host: Host) -> set[str]:
    """Everything below these places that a role could have made, with owner, mode and size."""
    there = [place for place in PLACES if host.path(place).exists()]
    found = ["find", *there, "-path", "/var/lib/apt", "-prune", "-o", "-printf", "%p %u:%g %m %y %s %l\n"]
    return set(host.run(*found).stdout.splitlines())


def standing(host: Host) -> set[str]:
    """The same, without what consul_kam writes while it works."""
    return {line for line in files(host) if not line.startswith("/var/lib/consul_kam/")}


def test_it_is_a_node_that_works(converged: Converged, node: Host) -> None:
    assert (converged.first.counts["failed"], converged.first.counts["unreachable"]) == (0, 0)
    assert converged.first.did("The virtual environment") == ["changed"]
    assert converged.first.did("The service consul-kam") == ["changed", "ok"], "the handler finds nothing left to do"
    assert [line.split()[0] for line in node.run("ip", "-br", "link").stdout.splitlines()] == ["lo"], "no way out"
    register(node, "r1", "r2")
    holds(node, "r1", "r2", unit=UNIT)
    for unit in (UNIT, "kamailio.service"):
        assert node.systemctl("is-enabled", unit).stdout == "enabled\n"


@pytest.mark.parametrize("core", [NEWEST, OLDEST], ids=["newest", "oldest"])
def test_the_second_run_changes_nothing(node: Host, controller: Controllers, core: Any) -> None:
    pids = [node.show(unit)["MainPID"] for unit in (UNIT, "kamailio.service")]
    before = standing(node)
    play = controller(node)
    play.venv = core
    again = play.play("--diff")
    assert (again.counts["changed"], again.changed) == (0, [])
    assert "RUNNING HANDLER" not in again.said
    assert again.did("It runs the current release") == ["ok"]
    checked = play.play("--check", "--diff")
    assert (checked.counts["changed"], checked.counts["failed"]) == (0, 0)
    assert standing(node) == before
    assert [node.show(unit)["MainPID"] for unit in (UNIT, "kamailio.service")] == pids


@pytest.mark.slow
def test_the_oldest_ansible_makes_the_same_of_a_bare_host(
    converged: Converged, pristine: Host, controller: Controllers
) -> None:
    play = controller(pristine)
    play.venv = OLDEST
    done = play.play("--diff")
    assert done.changed == converged.first.changed
    assert play.play().counts["changed"] == 0
    holds(pristine, "r1", unit=UNIT)
    ours = pristine.path("/etc/consul_kam/consul-kam.toml").read_text()
    assert ours == (converged.upper / "etc/consul_kam/consul-kam.toml").read_text()


def test_check_mode_on_a_bare_host_does_nothing_and_says_what_would_be_done(
    converged: Converged, pristine: Host, controller: Controllers
) -> None:
    before = files(pristine)
    told = controller(pristine).play("--check", "--diff")
    assert files(pristine) == before
    assert told.counts["failed"] == 0
    for task in ("The virtual environment", "The configuration", "The unit", "Kamailio's configuration", "User"):
        assert told.did(task) == converged.first.did(task) == ["changed"], task
    assert "+role = " in told.said, "the difference of a file that is not there yet"
    assert node_is_off(pristine)


def node_is_off(host: Host) -> bool:
    return host.show(UNIT)["LoadState"] == "not-found" and kamailio_pid(host) == 0


@pytest.mark.slow
def test_check_mode_tells_of_a_change(node: Host, controller: Controllers) -> None:
    before, pid = standing(node), node.show(UNIT)["MainPID"]
    told = controller(node).play(
        "--check", "--diff", consul_kam_settings={"verify_every": 20}, consul_kam_ready_timeout=90
    )
    assert "+verify_every = 20" in told.said
    assert "+TimeoutStartSec=90s" in told.said
    assert told.did("The service consul-kam")[:1] == ["changed"]
    assert standing(node) == before
    assert node.show(UNIT)["MainPID"] == pid


def test_each_part_runs_alone(pristine: Host, controller: Controllers) -> None:
    """One after the other, on a host that was bare: they are all there is."""
    play = controller(pristine)
    for tag in ("preflight", "install", "configure", "service", "verify"):
        done = play.play("--tags", tag)
        assert done.counts["failed"] == 0
        ran = {name for name, word in done.tasks if word in ("ok", "changed")}
        assert ran, tag
        assert ("consul_kam : The virtual environment" in ran) == (tag == "install"), tag
        assert ("consul_kam : The unit" in ran) == (tag == "configure"), tag
        assert ("consul_kam : The lists are proven" in ran) == (tag == "verify"), tag
    holds(pristine, "r1", unit=UNIT)
    assert play.play().counts["changed"] == 0
    gone = play.play("--tags", "uninstall", consul_kam_state="absent")
    assert gone.counts["failed"] == 0
    assert node_is_off(pristine)


def test_parts_that_come_too_early_say_so(pristine: Host, controller: Controllers) -> None:
    for tag, said in (("service", "--tags install comes first"), ("verify", "--tags install comes first")):
        done = controller(pristine).play("--tags", tag, check=False)
        assert done.code != 0
        assert said in done.said
