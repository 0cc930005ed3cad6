"""consul-kam.service on a real systemd, beside Debian's kamailio.service: what systemd's own states show."""

import contextlib

import pytest

from tests.hosts.host import Host
from tests.hosts.node import answers, holds, kamailio_pid, lay_out, register, start_consul, wait_for_kamailio
from tests.lab import wait_for

UNIT = "consul-kam.service"
TOKEN = "11111111-2222-3333-4444-555555555555"


def impatient(host: Host, **settings: str) -> None:
    """A drop-in with shorter times."""
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    host.write(f"/etc/systemd/system/{UNIT}.d/test.conf", f"[Service]\n{lines}")
    host.systemctl("daemon-reload")


def pid(host: Host) -> int:
    return int(host.show(UNIT)["MainPID"])


@pytest.fixture
def laid_out(host: Host) -> Host:
    lay_out(host)
    start_consul(host)
    register(host, "r1")
    host.systemctl("start", "kamailio.service")
    wait_for_kamailio(host)
    return host


@pytest.fixture
def node(laid_out: Host) -> Host:
    laid_out.systemctl("start", UNIT)
    return laid_out


def test_started_is_when_the_lists_are_proven(node: Host) -> None:
    holds(node, "r1", unit=UNIT, timeout=0)
    found = node.show(UNIT)
    assert (found["ActiveState"], found["SubState"], found["StatusText"]) == ("active", "running", "ready")
    assert (found["NRestarts"], found["Result"]) == ("0", "success")
    register(node, "r2")
    holds(node, "r1", "r2", unit=UNIT)


def test_it_runs_without_rights(node: Host) -> None:
    status = dict(line.split(":\t", 1) for line in node.path(f"/proc/{pid(node)}/status").read_text().splitlines())
    assert {status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split()[0] == node.run("id", "-u", "consul_kam").stdout.strip()


def test_who_hangs_is_started_again(node: Host) -> None:
    kamailio = kamailio_pid(node)
    impatient(node, WatchdogSec="10s", TimeoutAbortSec="2s")
    node.systemctl("restart", UNIT)
    old = pid(node)
    node.run("sh", "-c", f"kill -STOP {old}")
    node.wait(UNIT, "is ready again", ActiveState="active", NRestarts="1", StatusText="ready", timeout=60)
    assert "Watchdog timeout" in node.journal(UNIT)
    assert "Failed with result 'watchdog'" in node.journal(UNIT)
    assert pid(node) != old
    assert kamailio_pid(node) == kamailio
    register(node, "r2")
    holds(node, "r1", "r2", unit=UNIT)


def test_who_is_never_ready_is_no_success(laid_out: Host) -> None:
    laid_out.systemctl("stop", "kamailio.service")
    impatient(laid_out, TimeoutStartSec="4s")
    assert laid_out.systemctl("start", UNIT, check=False).returncode != 0
    said = "start operation timed out", "Failed with result 'timeout'"
    wait_for("both in the journal", lambda: all(text in laid_out.journal(UNIT) for text in said), 20)
    impatient(laid_out, TimeoutStartSec="60s")
    laid_out.systemctl("start", "kamailio.service")
    laid_out.wait(UNIT, "is ready", ActiveState="active", StatusText="ready", timeout=60)
    holds(laid_out, "r1", unit=UNIT)


def test_its_sudden_end_touches_no_kamailio(node: Host) -> None:
    kamailio = kamailio_pid(node)
    for times in range(1, 4):
        node.run("sh", "-c", f"kill -9 {pid(node)}")
        node.wait(UNIT, "is ready again", ActiveState="active", NRestarts=str(times), StatusText="ready")
        register(node, f"r{times + 1}")
    holds(node, "r1", "r2", "r3", "r4", unit=UNIT)
    assert kamailio_pid(node) == kamailio


def test_a_restart_of_kamailio_alone(node: Host) -> None:
    ours, kamailio = pid(node), kamailio_pid(node)
    node.systemctl("restart", "kamailio.service")
    wait_for_kamailio(node)
    holds(node, "r1", unit=UNIT)
    assert kamailio_pid(node) != kamailio
    node.systemctl("stop", "kamailio.service")
    register(node, "r2")
    node.systemctl("start", "kamailio.service")
    holds(node, "r1", "r2", unit=UNIT)
    assert pid(node) == ours
    assert node.show(UNIT)["NRestarts"] == "0"


def test_reload_takes_what_is_right(node: Host) -> None:
    ours, config = pid(node), node.path("/etc/consul_kam/consul-kam.toml")
    right = config.read_text()
    config.write_text(right.replace('service = "router"', 'service = "router"\nstatic = ["sip:192.0.2.9:5060 0 20"]'))
    node.systemctl("reload", UNIT)
    holds(node, "r9", "r1", unit=UNIT)
    config.write_text("[node]\nrole = 7\n")
    node.systemctl("reload", UNIT)
    wait_for("the refusal in the journal", lambda: "node.role" in node.journal(UNIT), 20)
    node.wait(UNIT, "goes on", ActiveState="active", SubState="running", MainPID=str(ours))
    register(node, "r2")
    holds(node, "r9", "r1", "r2", unit=UNIT)


@pytest.mark.slow
def test_stop_leaves_kamailio_as_it_is(node: Host) -> None:
    kamailio = kamailio_pid(node)
    node.systemctl("stop", UNIT)
    found = node.show(UNIT)
    assert (found["ActiveState"], found["Result"], found["ExecMainStatus"]) == ("inactive", "success", "0")
    assert node.run("pidof", "consul-template", check=False).stdout == ""
    assert kamailio_pid(node) == kamailio
    holds(node, "r1", unit=UNIT, timeout=0)


@pytest.mark.slow
def test_after_a_power_cut_it_is_all_there_again(node: Host) -> None:
    """Consul's agent of this test forgets everything by that: what it says then empties no list."""
    node.systemctl("enable", "consul.service", "kamailio.service", UNIT, "consul-kam-restart-kamailio.path")
    node.run("sync")
    node.power_cut()
    node.start()
    node.wait(UNIT, "is ready", ActiveState="active", StatusText="ready", timeout=60)
    assert answers(node)
    holds(node, "r1", unit=UNIT, timeout=0)


def test_consuls_token_comes_by_systemd_alone(host: Host) -> None:
    lay_out(host)
    acl = f'acl {{ enabled = true\n default_policy = "deny"\n tokens {{ initial_management = "{TOKEN}" }} }}'
    host.write("/etc/consul.hcl", acl)
    unit = host.path("/etc/systemd/system/consul.service")
    unit.write_text(unit.read_text().replace("-dev", "-dev -config-file=/etc/consul.hcl"))
    host.write("/etc/consul_kam/token", f"{TOKEN}\n", 0o600)
    host.systemctl("daemon-reload")
    host.systemctl("start", "consul.service", "kamailio.service")
    words = ("-name=router", "-id=r1", "-address=192.0.2.1", "-port=5060", f"-token={TOKEN}")
    register_it = ("consul", "services", "register", *words)
    wait_for("Consul", lambda: host.run(*register_it, check=False).returncode == 0, 40, every=0.2)
    host.systemctl("start", UNIT)
    holds(host, "r1", unit=UNIT)
    assert host.run("cat", "/etc/consul_kam/token", user="consul_kam", check=False).returncode != 0
    for process in host.path("/proc").glob("[0-9]*"):
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError):  # it has ended, or is one of the kernel's
                assert TOKEN not in (process / name).read_text(errors="replace"), process
    assert TOKEN not in host.journal(UNIT)


@pytest.mark.slow
def test_a_configuration_that_it_may_not_see_is_no_reason_to_go_on_without(laid_out: Host) -> None:
    laid_out.path("/etc/consul_kam").chmod(0o700)
    laid_out.run("systemctl", "--no-block", "start", UNIT)
    said = "cannot read /etc/consul_kam/consul-kam.toml: Permission denied"
    wait_for("the refusal in the journal", lambda: said in laid_out.journal(UNIT), 30, every=0.2)
    laid_out.path("/etc/consul_kam").chmod(0o755)
    laid_out.wait(UNIT, "is ready", ActiveState="active", StatusText="ready", timeout=60)


def test_a_kamailio_that_is_stuck_is_restarted_where_we_may_ask_for_it(laid_out: Host) -> None:
    config = laid_out.path("/etc/consul_kam/consul-kam.toml")
    file = "/run/consul_kam.ask/restart-kamailio"
    config.write_text(config.read_text().replace("[kamailio]\n", f'[kamailio]\nrestart_file = "{file}"\n'))
    laid_out.systemctl("start", "consul-kam-restart-kamailio.path", UNIT)
    kamailio = kamailio_pid(laid_out)
    laid_out.systemctl("kill", "--kill-who=all", "--signal=STOP", "kamailio.service")
    wait_for("another Kamailio", lambda: kamailio_pid(laid_out) not in (0, kamailio), 60, every=0.2)
    laid_out.wait(UNIT, "is ready again", StatusText="ready", NRestarts="0", timeout=60)
    holds(laid_out, "r1", unit=UNIT)
    assert "Kamailio's restart is asked for" in laid_out.journal(UNIT)


@pytest.mark.slow
def test_a_kamailio_that_is_stuck_is_named_where_we_may_not(node: Host) -> None:
    kamailio = kamailio_pid(node)
    node.systemctl("kill", "--kill-who=all", "--signal=STOP", "kamailio.service")

    def named() -> bool:
        return "restart kamailio.service" in node.show(UNIT)["StatusText"]

    wait_for("the word who must act", named, 60, every=0.2)
    wait_for("the node out of Consul", lambda: not registered(node), 30, every=0.2)
    assert kamailio_pid(node) == kamailio
    node.systemctl("restart", "kamailio.service")
    node.wait(UNIT, "is ready again", StatusText="ready", NRestarts="0", timeout=60)
    wait_for("the node in Consul", lambda: registered(node), 30, every=0.2)


def test_it_is_in_consul_while_it_runs(node: Host) -> None:
    wait_for("the node in Consul", lambda: registered(node), 30, every=0.1)
    node.run("sh", "-c", f"kill -9 {pid(node)}")
    assert registered(node), "a sudden end is no leave: Kamailio works on"
    node.wait(UNIT, "is ready again", ActiveState="active", NRestarts="1", StatusText="ready")
    node.systemctl("stop", UNIT)
    assert not registered(node)
    assert answers(node)


def registered(host: Host) -> bool:
    """Whether the host's Consul knows an SBC that passes, as its peers ask."""
    asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8500/v1/health/service/sbc?passing').read())"
    return "sbc" in host.run("python3", "-c", asked).stdout
