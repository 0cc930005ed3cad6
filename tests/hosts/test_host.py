"""The hosts themselves: a systemd of their own, and nothing left of them, however they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts import cgroup
from tests.hosts.host import Host
from tests.lab import LabError, wait_for
from tools.kamailio_roots import DEBIAN

REPO = Path(__file__).parents[2]
HELD = """\
import sys, time
from pathlib import Path
from tests.hosts.host import Host
host = Host(Path(sys.argv[1]), sys.argv[2]).start()
print(host.leader, host.name, flush=True)
time.sleep(600)
"""


def ours() -> list[str]:
    return [str(path) for place in cgroup._places() for path in place.glob(f"{cgroup.PREFIX}{os.getpid()}-*")]


def mounts(directory: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(directory) in line]


def test_it_runs_its_own_systemd_and_network(suite: str, tmp_path: Path) -> None:
    with Host(tmp_path, suite) as host:
        assert host.run("systemctl", "is-system-running").stdout == "running\n"
        assert host.run("cat", "/proc/1/comm").stdout == "systemd\n"
        assert [line.split()[0] for line in host.run("ip", "-br", "link").stdout.splitlines()] == ["lo"]
        version = next(version for version, name in DEBIAN.items() if name == suite)
        assert f"version: kamailio {version} " in host.run("kamailio", "-v").stdout


@pytest.mark.slow
def test_two_hosts_share_nothing(suite: str, tmp_path: Path) -> None:
    with Host(tmp_path / "a", suite) as a, Host(tmp_path / "b", suite) as b:
        a.write("/etc/mine", "a")
        assert not b.path("/etc/mine").exists()
        assert len({a.run("cat", "/etc/machine-id").stdout, b.run("cat", "/etc/machine-id").stdout}) == 2


@pytest.mark.slow
def test_a_power_cycle_keeps_the_disk(suite: str, tmp_path: Path) -> None:
    with Host(tmp_path, suite) as host:
        host.write("/etc/kept", "yes")
        host.write("/run/lost", "yes")
        host.power_cut()
        host.start()
        assert host.path("/etc/kept").read_text() == "yes"
        assert not host.path("/run/lost").exists()


@pytest.mark.slow
def test_a_unit_that_fails_at_boot_is_named(suite: str, tmp_path: Path) -> None:
    unit = "[Service]\nType=oneshot\nExecStart=/bin/false\n[Install]\nWantedBy=multi-user.target\n"
    with Host(tmp_path, suite) as host:
        host.write("/etc/systemd/system/broken.service", unit)
        host.systemctl("enable", "broken.service")
        host.stop()
        with pytest.raises(LabError, match=r"degraded\nbroken.service"):
            host.start()


def test_nothing_is_left_of_it(suite: str, tmp_path: Path) -> None:
    before = ours()
    with Host(tmp_path, suite) as host:
        leader = host.leader
        assert len(ours()) > len(before)
    assert not Path(f"/proc/{leader}").exists()
    assert ours() == before
    assert mounts(tmp_path) == []


@pytest.mark.slow
def test_nothing_is_left_of_it_when_the_test_is_killed(suite: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HELD, tmp_path / "host", suite]
    with subprocess.Popen(argv, cwd=REPO, stdout=subprocess.PIPE, text=True) as test:
        assert test.stdout is not None
        leader, name = test.stdout.readline().split()
        test.send_signal(signal.SIGKILL)
    wait_for("its end", lambda: not Path(f"/proc/{leader}").exists(), 30)
    assert mounts(tmp_path) == []

    def swept() -> bool:
        cgroup.sweep()
        return not any(name in path for path in ours())

    wait_for("its control groups' end", swept, 30)
