"""A host laid out as examples/systemd/README.md says, with the examples' files as they stand."""

import json
import re
from pathlib import Path
from typing import Any

from tests.hosts.host import Host
from tests.lab.process import LabError, wait_for

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


def register(host: Host, *names: str) -> None:
    """Routers r1, r2, ... at 192.0.2.1, 192.0.2.2, ..., told to the host's Consul."""
    for name in names:
        words = ("-name=router", f"-id={name}", f"-address=192.0.2.{name[1:]}", "-port=5060")
        host.run("consul", "services", "register", *words)


def routers(host: Host) -> list[str]:
    """What Kamailio's memory holds, in order; empty where it does not answer."""
    said = host.run("kamcmd", "dispatcher.list", check=False).stdout
    return re.findall(r"URI: sip:192\.0\.2\.(\d+):5060", said)


def holds(host: Host, *names: str, unit: str, timeout: float = 30.0) -> None:
    """Until memory holds these routers."""
    try:
        wait_for(f"{names} in memory", lambda: routers(host) == [name[1:] for name in names], timeout, every=0.05)
    except LabError as error:
        raise LabError(f"{error}: {routers(host)}\n{host.journal(unit)}") from None


def start_consul(host: Host) -> None:
    """And wait until it answers with a leader."""
    host.systemctl("start", "consul.service")
    leads = ("consul", "catalog", "nodes")
    wait_for("Consul in the host", lambda: "127.0.0.1" in host.run(*leads, check=False).stdout, 40, every=0.1)


def told(host: Host, what: str) -> dict[str, Any]:
    """`consul-kam WHAT --json` as root says it; it exits 1 where the node is not ready."""
    said: dict[str, Any] = json.loads(host.run("/opt/consul_kam/bin/consul-kam", what, "--json", check=False).stdout)
    return said
