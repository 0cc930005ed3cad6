"""The other roles of the article: a router, and an RTPEngine, which has no Kamailio."""

import json
import re
from collections.abc import Callable

import pytest

from tests.ansible.role.play import REPO, Controller
from tests.ansible.role.test_converge import files
from tests.hosts.host import Host
from tests.lab import wait_for

UNIT, RTPENGINE = "consul-kam.service", "rtpengine-daemon.service"
EXAMPLES = REPO / "examples" / "kamailio"
TMPFILES = REPO / "examples" / "systemd" / "tmpfiles.d" / "consul_kam.conf"
Controllers = Callable[..., Controller]


def health(host: Host, service: str) -> dict[str, str]:
    """Check -> status of the host's own instance, as its Consul has it."""
    url = f"http://127.0.0.1:8500/v1/health/checks/{service}"
    said = host.run("python3", "-c", f"import urllib.request as u; print(u.urlopen('{url}').read().decode())").stdout
    return {check["CheckID"]: check["Status"] for check in json.loads(said)}


@pytest.mark.slow
def test_an_rtpengine(pristine: Host, controller: Controllers) -> None:
    play = controller(
        pristine, consul_kam_role="rtp", consul_kam_rtpengine_settings={"port-min": 31000, "port-max": 31999}
    )
    told = play.play("--check", "--diff")
    assert told.counts["failed"] == 0
    done = play.play()
    assert done.did("The service consul-kam")[0] == "changed"
    for unit in (UNIT, RTPENGINE):
        found = pristine.show(unit)
        assert (found["ActiveState"], found["UnitFileState"]) == ("active", "enabled"), unit
    assert pristine.show("kamailio.service")["ActiveState"] == "inactive"
    assert not pristine.path("/usr/local/bin/consul-template").exists(), "there is no list to stage"
    assert not pristine.path("/var/lib/consul_kam/live").exists()
    assert "kamailio" not in pristine.run("id", "-nG", "consul_kam").stdout.split()
    assert re.search(r"^port-max = 31999$", pristine.path("/etc/consul_kam/rtpengine.conf").read_text(), re.MULTILINE)
    wait_for("it passes in Consul", lambda: set(health(pristine, "rtp").values()) == {"passing"}, 40, every=0.2)
    pid = pristine.show(RTPENGINE)["MainPID"]
    assert play.play().counts["changed"] == 0
    assert pristine.show(RTPENGINE)["MainPID"] == pid
    pristine.run("sh", "-c", f"kill -9 {pid}")
    pristine.wait(RTPENGINE, "is back", ActiveState="active", SubState="running", NRestarts="1")
    play.play(consul_kam_rtpengine_settings={"port-min": 31000, "port-max": 31888})
    assert pristine.show(RTPENGINE)["MainPID"] != pid
    before = {line for line in files(pristine) if "consul_kam" in line or "consul-kam" in line}
    assert before
    play.play(consul_kam_state="absent")
    assert not {line for line in files(pristine) if "consul_kam" in line or "consul-kam" in line}
    assert pristine.show(RTPENGINE)["ActiveState"] == "inactive"


@pytest.mark.slow
def test_a_router(pristine: Host, controller: Controllers) -> None:
    pristine.run("consul", "services", "register", "-name=gateway", "-id=g1", "-address=192.0.2.7", "-port=5060")
    pristine.run("consul", "services", "register", "-name=rtp", "-id=m1", "-address=192.0.2.8", "-port=2223")
    play = controller(pristine, consul_kam_role="router")
    play.play()

    def listed() -> bool:
        return "sip:192.0.2.7:5060" in pristine.run("kamcmd", "dispatcher.list", check=False).stdout

    wait_for("the gateway in memory", listed, 30, every=0.1)
    assert "192.0.2.8:2223" in pristine.run("kamcmd", "rtpengine.show", "all").stdout
    assert play.play().counts["changed"] == 0


@pytest.mark.slow
def test_a_kamailio_with_a_configuration_of_its_own_is_left_alone(pristine: Host, controller: Controllers) -> None:
    """The operator's own, which runs before the role comes: neither touched nor restarted."""
    for name in ("common.cfg", "drain.cfg", "sbc.cfg"):
        pristine.copy(EXAMPLES / name, f"/etc/kamailio/{name}")
    pristine.write("/etc/default/kamailio", "CFGFILE=/etc/kamailio/sbc.cfg\n")
    lists = "/var/lib/consul_kam/live"
    pristine.run(
        "sh",
        "-c",
        f"mkdir -p {lists}/dbtext && chmod -R 755 /var/lib/consul_kam && cd {lists} && touch dispatcher.list",
    )
    tables = [line for line in TMPFILES.read_text().splitlines() if line.startswith(f"f {lists}/dbtext")]
    for line in tables:
        _, name, _, _, _, _, text = line.split(" ", 6)
        pristine.write(name, text.replace("\\n", "\n"))
    pristine.systemctl("start", "kamailio.service")
    pid = pristine.show("kamailio.service")["MainPID"]
    play = controller(pristine, consul_kam_kamailio_config="own")
    play.play()
    assert pristine.show("kamailio.service")["MainPID"] == pid
    assert not pristine.path("/etc/kamailio/consul_kam.cfg").exists()
    assert pristine.path("/etc/default/kamailio").read_text() == "CFGFILE=/etc/kamailio/sbc.cfg\n"
    assert pristine.show("kamailio.service")["Restart"] == "always", "but it comes back however often it dies"
    assert play.play().counts["changed"] == 0
