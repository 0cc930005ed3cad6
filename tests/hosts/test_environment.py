"""The environment from KV for Debian's kamailio.service: `env exec` as its command, as docs/environment.md has it."""

from tests.hosts.host import Host
from tests.hosts.node import kamailio_pid, lay_out, start_consul, wait_for_kamailio

ENV = """
[env]
layers = ["c4/global"]

[env.vars.LOG_MARK]
required = true
"""
BY_ENV_EXEC = """\
[Service]
Environment=CONSUL_KAM_STATE_DIR=/var/lib/kamailio-env
StateDirectory=kamailio-env
StateDirectoryMode=0700
ExecStart=
ExecStart=/opt/consul_kam/bin/consul-kam env exec -- /usr/sbin/kamailio -P /run/kamailio/kamailio.pid \\
    -f $CFGFILE -m $SHM_MEMORY -M $PKG_MEMORY
"""


def test_kamailio_is_started_by_env_exec(host: Host) -> None:
    """With what KV says at each start; with the last good values where Consul is away."""
    lay_out(host)
    config = host.path("/etc/consul_kam/consul-kam.toml")
    config.write_text(config.read_text() + ENV)
    host.write("/etc/systemd/system/kamailio.service.d/env.conf", BY_ENV_EXEC)
    host.systemctl("daemon-reload")
    start_consul(host)
    for value in ("first", "second"):
        host.run("consul", "kv", "put", "c4/global/LOG_MARK", value)
        host.systemctl("restart", "kamailio.service")
        wait_for_kamailio(host)
        assert mark(host) == value
    host.systemctl("stop", "consul.service")
    host.systemctl("restart", "kamailio.service")
    wait_for_kamailio(host)
    assert mark(host) == "second"


def mark(host: Host) -> str:
    """LOG_MARK as the running Kamailio has it."""
    found = host.path(f"/proc/{kamailio_pid(host)}/environ").read_text().split("\0")
    return dict(line.split("=", 1) for line in found if line)["LOG_MARK"]
