"""examples/systemd on a real systemd: what stands in the units, and what follows of it."""

import re

import pytest

from tests.hosts.host import Host
from tests.hosts.node import UNITS, answers, kamailio_pid, lay_out, wait_for_kamailio
from tests.lab import wait_for

ASK = "/run/consul_kam.ask/restart-kamailio"
SERVICES = [unit for unit in UNITS if unit.endswith(".service")]


@pytest.fixture
def node(host: Host) -> Host:
    """The SBC's Kamailio runs by Debian's unit, with our drop-in."""
    lay_out(host)
    host.systemctl("start", "kamailio.service")
    wait_for_kamailio(host)
    return host


def test_systemd_finds_nothing_to_say(host: Host) -> None:
    lay_out(host)
    done = host.run("systemd-analyze", "verify", "--man=no", *(f"/etc/systemd/system/{unit}" for unit in UNITS))
    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_is_below_three(host: Host, unit: str) -> None:
    lay_out(host)
    for words in (["--offline=true", f"/etc/systemd/system/{unit}"], [unit]):
        said = host.run("systemd-analyze", "security", "--no-pager", *words).stdout
        found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
        assert found is not None, said
        print(unit, found[1])
        assert float(found[1]) < 3.0, said


def test_consul_kam_may_ask_kamailio_and_write_its_lists_and_no_more(node: Host) -> None:
    assert answers(node, "consul_kam")
    assert not answers(node, "nobody")
    assert node.run("touch", "/var/lib/consul_kam/live/dispatcher.list", user="consul_kam").returncode == 0
    node.run("sh", "-c", "echo 1 sip:192.0.2.1 >/var/lib/consul_kam/live/new", user="consul_kam")
    assert node.run("cat", "/var/lib/consul_kam/live/new", user="kamailio").stdout == "1 sip:192.0.2.1\n"
    for user in ("kamailio", "nobody"):
        assert node.run("touch", "/var/lib/consul_kam/live/new", user=user, check=False).returncode != 0
    pid = kamailio_pid(node)
    assert node.run("systemctl", "--no-ask-password", "restart", "kamailio", user="consul_kam", check=False).returncode
    assert node.run("sh", "-c", f"kill {pid}", user="consul_kam", check=False).returncode != 0
    assert kamailio_pid(node) == pid


def test_kamailio_comes_back_however_often_it_dies(node: Host) -> None:
    for times in range(1, 9):
        pid = kamailio_pid(node)
        node.run("sh", "-c", f"kill -9 {pid}")
        found = node.wait("kamailio.service", "is back", ActiveState="active", SubState="running", NRestarts=str(times))
        assert int(found["MainPID"]) != pid
        wait_for_kamailio(node)


@pytest.mark.slow
def test_kamailio_comes_back_after_an_end_by_rpc(node: Host) -> None:
    node.run("kamcmd", "core.kill", "15", user="consul_kam", check=False)
    node.wait("kamailio.service", "is back", ActiveState="active", SubState="running", NRestarts="1")
    wait_for_kamailio(node)


def restarted(node: Host, pid: int) -> bool:
    return kamailio_pid(node) not in (0, pid) and answers(node) and not node.path(ASK).exists()


def test_consul_kam_has_kamailio_restarted_by_a_file(node: Host) -> None:
    node.systemctl("start", "consul-kam-restart-kamailio.path")
    for _ in range(3):
        pid = kamailio_pid(node)
        node.run("touch", ASK, user="consul_kam")
        wait_for("another Kamailio", lambda pid=pid: restarted(node, pid), 30, every=0.05)  # type: ignore[misc]
    assert node.run("touch", ASK, user="nobody", check=False).returncode != 0
    node.wait("consul-kam-restart-kamailio.path", "waits", ActiveState="active", SubState="waiting")
    assert node.show("consul-kam-restart-kamailio.service")["Result"] == "success"


@pytest.mark.slow
def test_a_frozen_kamailio_is_restarted_by_a_file(node: Host) -> None:
    node.systemctl("start", "consul-kam-restart-kamailio.path")
    pid = kamailio_pid(node)
    node.systemctl("kill", "--kill-who=all", "--signal=STOP", "kamailio.service")
    assert node.run("timeout", "1", "kamcmd", "core.uptime", check=False).returncode != 0
    assert node.show("kamailio.service")["ActiveState"] == "active", "systemd sees nothing of it"
    node.run("touch", ASK, user="consul_kam")
    wait_for("another Kamailio", lambda: restarted(node, pid), 60, every=0.05)


@pytest.mark.slow
def test_a_request_that_waits_is_done_at_boot(node: Host) -> None:
    """And nothing else restarts Kamailio: neither the unit's own start nor that of the directory."""
    pid = kamailio_pid(node)
    node.systemctl("start", "consul-kam-restart-kamailio.path")
    node.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/consul_kam.conf")
    assert node.show("consul-kam-restart-kamailio.service")["ExecMainStartTimestampMonotonic"] == "0"
    assert kamailio_pid(node) == pid
    node.systemctl("stop", "consul-kam-restart-kamailio.path")
    node.run("touch", ASK, user="consul_kam")
    node.systemctl("start", "consul-kam-restart-kamailio.path")
    wait_for("another Kamailio", lambda: restarted(node, pid), 30, every=0.05)
