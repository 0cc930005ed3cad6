"""Kamailio beside it: never Debian's default on 5060, back however often it dies, and no more rights than it takes."""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.ansible.role.play import Controller
from tests.hosts.host import Host
from tests.hosts.node import answers, holds, kamailio_pid, register, wait_for_kamailio
from tests.lab import wait_for
from tools import kamailio_roots

UNIT = "consul-kam.service"
ASK = "/run/consul_kam.ask/restart-kamailio"
Controllers = Callable[..., Controller]


def test_six_deaths_in_a_row_and_it_is_back_each_time(node: Host) -> None:
    ours = node.show(UNIT)["MainPID"]
    for times in range(1, 8):
        pid = kamailio_pid(node)
        node.run("sh", "-c", f"kill -9 {pid}")
        node.wait("kamailio.service", "is back", ActiveState="active", SubState="running", NRestarts=str(times))
        wait_for_kamailio(node)
        assert kamailio_pid(node) not in (0, pid)
    register(node, "r1", "r2")
    holds(node, "r1", "r2", unit=UNIT)
    assert node.show(UNIT)["MainPID"] == ours


def test_its_user_may_ask_kamailio_and_write_its_lists_and_no_more(node: Host) -> None:
    assert answers(node, "consul_kam")
    assert not answers(node, "nobody")
    live = "/var/lib/consul_kam/live"
    said = node.run(
        "stat", "-c", "%U:%G %a", live, f"{live}/dispatcher.list", "/opt/consul_kam/current/bin"
    ).stdout.split("\n")
    assert said[:3] == ["consul_kam:kamailio 2750", "consul_kam:kamailio 640", "root:root 755"]
    assert node.run("cat", f"{live}/dispatcher.list", user="kamailio").returncode == 0
    for user in ("kamailio", "nobody"):
        assert node.run("touch", f"{live}/dispatcher.list", user=user, check=False).returncode != 0
    for name in (
        "/opt/consul_kam/current",
        "/etc/consul_kam/consul-kam.toml",
        "/etc/kamailio/consul_kam.cfg",
        "/usr/local/bin/consul-template",
    ):
        assert node.run("sh", "-c", f"test -w {name}", user="consul_kam", check=False).returncode != 0, name
    pid = kamailio_pid(node)
    assert node.run("systemctl", "--no-ask-password", "restart", "kamailio", user="consul_kam", check=False).returncode
    assert node.run("sh", "-c", f"kill {pid}", user="consul_kam", check=False).returncode != 0
    assert not node.path(ASK).parent.joinpath("restart-kamailio").exists()
    assert node.show("consul-kam-restart-kamailio.path")["LoadState"] == "not-found"
    assert kamailio_pid(node) == pid
    status = dict(
        line.split(":\t", 1)
        for line in node.path(f"/proc/{node.show(UNIT)['MainPID']}/status").read_text().splitlines()
    )
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")


@pytest.mark.slow
def test_it_may_have_kamailio_restarted_where_that_is_wanted(node: Host, controller: Controllers) -> None:
    play = controller(node)
    play.play(consul_kam_kamailio_may_restart=True)
    assert f'restart_file = "{ASK}"' in node.path("/etc/consul_kam/consul-kam.toml").read_text()
    pid = kamailio_pid(node)
    node.systemctl("kill", "--kill-who=all", "--signal=STOP", "kamailio.service")
    wait_for("another Kamailio", lambda: kamailio_pid(node) not in (0, pid), 90, every=0.2)
    node.wait(UNIT, "is ready again", StatusText="ready", timeout=60)
    assert play.play(consul_kam_kamailio_may_restart=True).counts["changed"] == 0
    play.play()
    assert node.show("consul-kam-restart-kamailio.path")["ActiveState"] == "inactive"
    assert not node.path("/etc/systemd/system/multi-user.target.wants/consul-kam-restart-kamailio.path").is_symlink()


def repository(suite: str, host: Host, place: Path, *packages: str) -> Mapping[str, str]:
    """A Debian mirror with these packages, below /srv of the host: what they depend on is installed already."""
    scratch = place / "apt"
    status = host.path("/var/lib/dpkg/status").read_text()
    for name in ("state/lists/partial", "cache/archives/partial"):
        (scratch / name).mkdir(parents=True)
    (scratch / "status").write_text(status)
    found = kamailio_roots.keyring()
    signed = f" signed-by={found}" if found else ""
    arch = kamailio_roots.run("dpkg", "--print-architecture").strip()
    (scratch / "sources.list").write_text(f"deb [arch={arch}{signed}] {kamailio_roots.mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": scratch / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State": scratch / "state",
        "Dir::State::status": scratch / "status",
        "Dir::Cache": scratch / "cache",
        "Acquire::Languages": "none",
        "Acquire::Retries": 3,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": 1,
    }
    apt = ["apt-get", "-q", "-y", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]
    kamailio_roots.run(*apt, "update")
    kamailio_roots.run(*apt, "--download-only", "--reinstall", "install", *packages)
    lines = []
    for path in sorted((scratch / "cache/archives").glob("*.deb")):
        control = kamailio_roots.run("dpkg-deb", "--field", path).strip()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{control}\nFilename: ./{path.name}\nSize: {path.stat().st_size}\nSHA256: {digest}\n")
        host.copy(path, f"/srv/debian/{path.name}")
    host.write("/srv/debian/Packages", "\n".join(lines))
    shutil.rmtree(host.path("/etc/apt/sources.list.d"), ignore_errors=True)
    host.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/debian ./\n")
    return {path.name: str(path) for path in (scratch / "cache/archives").glob("*.deb")}


WATCH = """\
while sleep 0.02; do
    ss -Hlun sport = :5060
    pid=$(pidof -s kamailio) && tr '\\0' ' ' </proc/$pid/cmdline && echo
done
"""


@pytest.mark.parametrize("apt_module", ["there", pytest.param("missing", marks=pytest.mark.slow)])
def test_debians_default_kamailio_never_answers(
    pristine: Host, controller: Controllers, suite: str, tmp_path: Path, apt_module: str
) -> None:
    """The host has no Kamailio, the role installs it; and no python3-apt either, as a minimal Debian."""
    missing = ["kamailio", *(["python3-apt"] if apt_module == "missing" else [])]
    repository(suite, pristine, tmp_path, *missing)
    pristine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--purge", *missing)
    assert not pristine.path("/etc/kamailio").exists()
    told = controller(pristine).play("--check", "--diff")
    assert told.did("In check mode, what would be installed") == ["changed"]
    assert not pristine.path("/usr/sbin/kamailio").exists()
    pristine.write("/srv/watch", WATCH)
    pristine.write("/etc/systemd/system/watch.service", "[Service]\nExecStart=/bin/sh /srv/watch\n")
    pristine.systemctl("daemon-reload")
    pristine.systemctl("start", "watch.service")
    done = controller(pristine).play()
    assert done.did("Packages, not started") == ["changed"]
    holds(pristine, "r1", unit=UNIT)
    pristine.systemctl("stop", "watch.service")
    seen = pristine.journal("watch.service")
    assert "-f /etc/kamailio/consul_kam.cfg" in seen, "it looked"
    assert "/etc/kamailio/kamailio.cfg" not in seen
    assert "127.0.0.1:5060" in seen
    assert "0.0.0.0:5060" not in seen
    assert not pristine.path("/usr/sbin/policy-rc.d").exists()
    assert controller(pristine).play().counts["changed"] == 0


def test_packages_may_be_somebody_elses_matter(pristine: Host, controller: Controllers) -> None:
    pristine.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--purge", "kamailio")
    done = controller(pristine).play(check=False, consul_kam_packages_manage=False)
    assert done.code != 0
    assert "kamailio is not installed, and consul_kam_packages_manage is false" in done.said
