"""site.yml in a machine of QEMU's: memory and file limits, which containers do not enforce, and a reboot."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.ansible.fleet.site import REPO, ansible
from tests.hosts.packages import build_wheel, wheelhouse
from tests.hosts.vm import Vm
from tests.lab.process import program, wait_for
from tools.vm_roots import SUITE

pytestmark = pytest.mark.slow

COMMAND = "/opt/consul_kam/current/bin/consul-kam"
UNIT = "consul-kam.service"


def play(vm: Vm, wheels: Path) -> None:
    """One host that is SBC and Consul's server."""
    host = {
        "ansible_host": "127.0.0.1",
        "ansible_port": vm.port,
        "ansible_user": "root",
        "consul_kam_role": "sbc",
        "consul_kam_address": "10.0.2.15",
        "consul_kam_source": "wheelhouse",
        "consul_kam_wheelhouse": str(wheels),
        "consul_kam_consul_template_source": "installed",
        "consul_kam_ready_timeout": 400,
        "consul_kam_consul_agent": True,
        "consul_kam_consul_agent_settings": {"server": True, "bootstrap_expect": 1, "bind_addr": "10.0.2.15"},
        "fleet_patience": 300,
    }
    groups = {"consul_servers": {"hosts": {"sbc1": host}}, "consul_kam": {"children": {"sbc": {"hosts": {"sbc1": {}}}}}}
    inventory = vm.directory / "inventory.json"
    inventory.write_text(json.dumps({"all": {"children": groups}}))
    env = {**os.environ, "PATH": f"{ansible()}:{os.environ['PATH']}", "ANSIBLE_SSH_COMMON_ARGS": " ".join(vm.ssh)}
    argv = [ansible() / "ansible-playbook", "-i", inventory, "site.yml"]
    done = subprocess.run(
        argv, cwd=REPO / "ansible", env=env, capture_output=True, text=True, timeout=2400, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def shown(vm: Vm, unit: str = UNIT) -> dict[str, str]:
    said = vm.run("systemctl", "show", unit) or ""
    return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)


def ready(vm: Vm) -> None:
    wait_for("a node that is ready", lambda: vm.run(COMMAND, "ps", check=False) is not None, 400, every=3)


def test_limits_are_enforced_and_cost_no_kamailio(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "build")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for each in (wheel, *wheelhouse(SUITE, wheel).iterdir()):
        (wheels / each.name).write_bytes(each.read_bytes())
    programs = {Path(program(name)): f"/usr/local/bin/{name}" for name in ("consul", "consul-template")}
    with Vm(tmp_path / "vm", programs) as vm:
        play(vm, wheels)
        ready(vm)
        kamailio = shown(vm, "kamailio.service")["MainPID"]

        # memory: the kernel kills it, systemd says so and starts it again
        vm.run("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=24M", "MemorySwapMax=0")
        wait_for("the kernel's kill", lambda: "oom-kill" in (vm.run("journalctl", "-u", UNIT) or ""), 300, every=3)
        vm.run("systemctl", "set-property", "--runtime", UNIT, "MemoryMax=infinity")
        ready(vm)
        assert int(shown(vm)["NRestarts"]) >= 1
        assert shown(vm, "kamailio.service")["MainPID"] == kamailio, "Kamailio is another unit's"

        # files: above what a container may have
        vm.run("mkdir", "-p", f"/etc/systemd/system/{UNIT}.d")
        vm.run(f"printf '[Service]\\nLimitNOFILE=65536\\n' >/etc/systemd/system/{UNIT}.d/files.conf")
        vm.run("systemctl", "daemon-reload")
        vm.run("systemctl", "restart", UNIT, timeout=400)
        limits = vm.run("cat", f"/proc/{shown(vm)['MainPID']}/limits") or ""
        assert next(line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")) == "65536"

        # and a real reboot
        before = boot(vm)
        vm.run("systemctl", "reboot", check=False)
        wait_for("another boot", lambda: boot(vm) not in (None, before), 300, every=2)
        ready(vm)


def boot(vm: Vm) -> str | None:
    return vm.run("cat", "/proc/sys/kernel/random/boot_id", check=False)
