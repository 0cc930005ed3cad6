"""`consul_kam_state: absent`: the host is as it was before the role was ever there."""

from collections.abc import Callable

from tests.ansible.role.play import Controller
from tests.ansible.role.test_converge import files
from tests.hosts.host import Host
from tests.hosts.node import kamailio_pid
from tests.lab import wait_for

Controllers = Callable[..., Controller]
IDENTITIES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")


def catalog(host: Host) -> str:
    """Every service that the host's Consul knows, whatever its health."""
    asked = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8500/v1/agent/services').read())"
    return host.run("python3", "-c", asked).stdout


def ours(host: Host) -> set[str]:
    """Files, but for backups that Debian's own tools make (/etc/passwd-), and what Kamailio had in its directory."""
    return {
        line for line in files(host) if not line.split()[0].endswith("-") and not line.startswith(tuple(IDENTITIES))
    }


def test_nothing_is_left_behind(pristine: Host, controller: Controllers) -> None:
    before = ours(pristine)
    identities = [pristine.path(name).read_text() for name in IDENTITIES]
    play = controller(pristine, consul_kam_kamailio_may_restart=True, consul_kam_consul_token="not-a-real-token")
    play.play()
    assert len(ours(pristine)) > len(before) + 1000
    wait_for("it is in Consul", lambda: "sbc" in catalog(pristine), 30)
    checked = play.play("--check", consul_kam_state="absent")
    assert checked.counts["failed"] == 0
    assert pristine.show("consul-kam.service")["ActiveState"] == "active", "check mode removes nothing"
    gone = play.play("--diff", consul_kam_state="absent")
    assert gone.counts["failed"] == 0
    assert ours(pristine) == before
    assert [pristine.path(name).read_text() for name in IDENTITIES] == identities
    for unit in ("consul-kam.service", "consul-kam-restart-kamailio.path"):
        assert pristine.show(unit)["LoadState"] == "not-found"
    assert kamailio_pid(pristine) == 0
    assert pristine.systemctl("is-enabled", "kamailio.service", check=False).stdout == "disabled\n"
    assert "DropInPaths=\n" in pristine.systemctl("show", "kamailio.service", "--property", "DropInPaths").stdout
    assert pristine.run("systemctl", "--failed", "--no-legend").stdout == ""
    assert "sbc" not in catalog(pristine), "it has left Consul, and is not in maintenance for ever"
    again = play.play(consul_kam_state="absent")
    assert again.counts["changed"] == 0
