"""A host laid out as examples/systemd/README.md says, with the examples' files as they stand."""

from pathlib import Path

from tests.hosts.host import Host
from tests.lab.process import wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
SYSTEMD = EXAMPLES / "systemd"
UNITS = sorted(path.name for path in SYSTEMD.glob("consul-kam*.*"))
CONSUL = """\
[Service]
ExecStart=/usr/local/bin/consul agent -dev -bind=127.0.0.1 -log-level=warn
Restart=always
RestartSec=100ms
"""


def lay_out(host: Host, role: str = "sbc") -> None:
    """Units, users, directories, Kamailio's configuration and consul_kam's; nothing is started."""
    for unit in UNITS:
        host.copy(SYSTEMD / unit, f"/etc/systemd/system/{unit}")
    for name in ("sysusers.d", "tmpfiles.d"):
        host.copy(SYSTEMD / name / "consul_kam.conf", f"/etc/{name}/consul_kam.conf")
    host.copy(SYSTEMD / "kamailio.service.d", "/etc/systemd/system/kamailio.service.d")
    host.run("systemd-sysusers")
    host.run("systemd-tmpfiles", "--create", "/etc/tmpfiles.d/consul_kam.conf")
    for path in (EXAMPLES / "kamailio").glob("*.cfg"):
        host.copy(path, f"/etc/kamailio/{path.name}")
    host.write("/etc/default/kamailio", f"CFGFILE=/etc/kamailio/{role}.cfg\n")
    config = (EXAMPLES / "kamailio" / f"{role}.toml").read_text()
    host.write("/etc/consul_kam/consul-kam.toml", config.replace("192.0.2.10", "127.0.0.1"))
    host.write("/etc/systemd/system/consul.service", CONSUL)
    host.systemctl("daemon-reload")


def kamailio_pid(host: Host) -> int:
    """Of its main process, in the host."""
    return int(host.show("kamailio.service")["MainPID"])


def answers(host: Host, user: str = "root") -> bool:
    """Whether Kamailio answers this user's RPC."""
    return host.run("kamcmd", "core.uptime", check=False, user=user).returncode == 0


def wait_for_kamailio(host: Host, timeout: float = 30.0) -> None:
    wait_for("Kamailio's RPC in the host", lambda: answers(host), timeout, every=0.05)
