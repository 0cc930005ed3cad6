"""consul-kam-spawn.service on a real systemd: Kamailio lives in the unit, and outlives its supervisor."""

from collections.abc import Sequence

import pytest

from tests.hosts.host import Host
from tests.hosts.node import answers, holds, lay_out, register, start_consul, told, wait_for_kamailio
from tests.lab import wait_for

UNIT = "consul-kam-spawn.service"
QUIET = "[drain]\nquiet_for = 3\n"
SPAWN = '[kamailio]\nmode = "spawn"\ncommand = ["kamailio", "-f", "/etc/kamailio/sbc.cfg", "-m", "64", "-M", "8"]\n'


@pytest.fixture
def node(host: Host) -> Host:
    lay_out(host)
    config = host.path("/etc/consul_kam/consul-kam.toml")
    config.write_text(config.read_text().replace("[kamailio]\n", QUIET + SPAWN))
    config.chmod(0o644)
    start_consul(host)
    register(host, "r1")
    host.systemctl("start", UNIT)
    return host


def pids(host: Host) -> dict[str, int]:
    """Of Kamailio and consul-template, as `ps` names them."""
    return {entry["name"]: int(entry["pid"] or 0) for entry in told(host, "ps")["processes"]}


def inside(host: Host, pids: Sequence[int]) -> bool:
    """Whether they live in the unit's control group."""
    return all(UNIT in host.path(f"/proc/{pid}/cgroup").read_text() for pid in pids)


def impatient(host: Host, **settings: str) -> None:
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    host.write(f"/etc/systemd/system/{UNIT}.d/test.conf", f"[Service]\n{lines}")
    host.systemctl("daemon-reload")
    host.systemctl("restart", UNIT)


def test_kamailio_is_up_and_right_when_it_is_started(node: Host) -> None:
    assert answers(node)
    holds(node, "r1", unit=UNIT, timeout=0)
    found, programs = node.show(UNIT), pids(node)
    assert (found["ActiveState"], found["StatusText"], found["NRestarts"]) == ("active", "ready", "0")
    assert inside(node, list(programs.values()))
    assert node.run("stat", "-c", "%U", f"/proc/{programs['kamailio']}").stdout == "kamailio\n"


def test_kamailio_outlives_its_supervisor(node: Host) -> None:
    programs = pids(node)
    for times in range(1, 4):
        node.run("sh", "-c", f"kill -9 {node.show(UNIT)['MainPID']}")
        assert answers(node)
        register(node, f"r{times + 1}")
        node.wait(UNIT, "is ready again", ActiveState="active", NRestarts=str(times), StatusText="ready")
        assert pids(node) == programs
        assert answers(node), "its socket is where it was"
    holds(node, "r1", "r2", "r3", "r4", unit=UNIT)


@pytest.mark.slow
def test_kamailio_outlives_a_supervisor_that_hangs(node: Host) -> None:
    impatient(node, WatchdogSec="2s", TimeoutAbortSec="2s")
    programs = pids(node)
    node.run("sh", "-c", f"kill -STOP {node.show(UNIT)['MainPID']}")
    node.wait(UNIT, "is ready again", ActiveState="active", NRestarts="1", StatusText="ready")
    assert "Failed with result 'watchdog'" in node.journal(UNIT)
    assert pids(node) == programs


def test_a_kamailio_that_dies_comes_back(node: Host) -> None:
    old = pids(node)["kamailio"]
    node.run("sh", "-c", f"kill -9 {old}")
    wait_for("another Kamailio", lambda: pids(node)["kamailio"] not in (0, old) and answers(node), 30, every=0.1)
    holds(node, "r1", unit=UNIT)
    assert node.show(UNIT)["NRestarts"] == "0"


def test_stop_ends_all_of_it(node: Host) -> None:
    programs = pids(node)
    node.systemctl("stop", UNIT)
    found = node.show(UNIT)
    assert (found["ActiveState"], found["Result"], found["ExecMainStatus"]) == ("inactive", "success", "0")
    assert not any(node.path(f"/proc/{pid}").exists() for pid in programs.values())
    assert node.run("pidof", "kamailio", "consul-template", check=False).stdout == ""
    assert "remains running after unit stopped" not in node.journal(UNIT)


@pytest.mark.slow
def test_a_drain_may_take_longer_than_systemd_would_wait(node: Host) -> None:
    """It asks for more time, each second; a second SIGTERM cuts it short."""
    config = node.path("/etc/consul_kam/consul-kam.toml")
    config.write_text(config.read_text().replace(QUIET, "[drain]\nquiet_for = 12\n"))
    impatient(node, TimeoutStopSec="4s")
    node.wait(UNIT, "is ready", ActiveState="active", StatusText="ready")
    wait_for("it is registered", lambda: told(node, "ps")["registration"]["state"] == "registered", 30)
    node.systemctl("stop", UNIT)
    assert node.show(UNIT)["Result"] == "success"
    assert "phase=REFUSING" in node.journal(UNIT)
    assert "no call is left" in node.journal(UNIT)
    node.systemctl("start", UNIT)
    wait_for("it is registered", lambda: told(node, "ps")["registration"]["state"] == "registered", 30)
    told_before = node.journal(UNIT).count("draining before the end")
    node.systemctl("stop", "--no-block", UNIT)
    wait_for("its drain", lambda: node.journal(UNIT).count("draining before the end") > told_before, 20)
    node.systemctl("kill", "--kill-who=main", UNIT)
    node.wait(UNIT, "is stopped", ActiveState="inactive", Result="success")
    assert "drain cut short" in node.journal(UNIT)


@pytest.mark.slow
def test_what_is_left_when_it_hangs_at_its_end(node: Host) -> None:
    # a signal that it does not hear; what is stopped by SIGSTOP hears systemd's SIGCONT
    impatient(node, TimeoutStopSec="2s", KillSignal="SIGURG")
    node.systemctl("stop", UNIT)
    assert node.show(UNIT)["Result"] == "timeout"
    assert answers(node), "calls go on"
    assert "remains running after unit stopped" in node.journal(UNIT)
    # as README.md says
    node.systemctl("kill", "--kill-who=all", "--signal=KILL", UNIT)
    wait_for("the end of all", lambda: not node.run("pidof", "kamailio", "consul-template", check=False).stdout, 20)


@pytest.mark.slow
def test_there_is_one_kamailio_a_host(node: Host) -> None:
    node.systemctl("start", "kamailio.service")
    wait_for_kamailio(node)
    assert node.show(UNIT)["ActiveState"] == "inactive"
    node.systemctl("start", UNIT)
    assert node.show("kamailio.service")["ActiveState"] == "inactive"
    assert answers(node)
