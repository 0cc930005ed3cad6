"""Configuration is a reload, unit and secret a restart, Kamailio's only for its own file; a wrong file stays out."""

from collections.abc import Callable

import pytest

from tests.ansible.role.play import Controller
from tests.hosts.host import Host
from tests.hosts.node import holds, register
from tests.lab import wait_for

UNIT, KAMAILIO = "consul-kam.service", "kamailio.service"
TOKEN = "aaaaaaaa-2222-3333-4444-555555555555"
Controllers = Callable[..., Controller]
THESE = ("--tags", "configure,service")


def pids(host: Host) -> tuple[int, int]:
    """Of consul_kam and Kamailio."""
    return int(host.show(UNIT)["MainPID"]), int(host.show(KAMAILIO)["MainPID"])


def test_configuration_is_a_reload(node: Host, controller: Controllers) -> None:
    before, play = pids(node), controller(node)
    static = {"setid": 1, "service": "router", "critical": "disable", "static": ["sip:192.0.2.9:5060 0 20"]}
    done = play.play(*THESE, consul_kam_settings={"datasets": {"dispatcher": {"sets": [static]}}})
    assert done.did("The service consul-kam")[0] == "changed"
    assert pids(node) == before
    wait_for("its word", lambda: "configuration read again" in node.journal(UNIT), 30)
    holds(node, "r9", "r1", unit=UNIT)
    # this run's inventory has no word of it: it is taken back, and by the part that configures alone, by its handler
    done = play.play("--tags", "configure")
    assert "RUNNING HANDLER [consul_kam : The service consul-kam]" in done.said
    assert pids(node) == before
    wait_for("the static record's end", lambda: "192.0.2.9" not in node.run("kamcmd", "dispatcher.list").stdout, 90)


def test_unit_and_token_are_a_restart_that_kamailio_does_not_feel(node: Host, controller: Controllers) -> None:
    ours, kamailio = pids(node)
    play = controller(node)
    for change in (
        {"consul_kam_ready_timeout": 100},
        {"consul_kam_ready_timeout": 100, "consul_kam_consul_token": TOKEN},
    ):
        done = play.play(*THESE, **change)
        assert done.did("The service consul-kam")[0] == "changed"
        assert pids(node)[0] != ours
        assert pids(node)[1] == kamailio
        ours = pids(node)[0]
    assert node.show(UNIT)["TimeoutStartUSec"] == "1min 40s"
    # a token that somebody put there by hand is on the disk already, and not yet what runs
    node.write("/etc/consul_kam/token", "bbbbbbbb\n", 0o600)
    done = play.play(*THESE, consul_kam_ready_timeout=100, consul_kam_consul_token="bbbbbbbb")
    assert done.did("Consul's token") == ["ok"]
    assert pids(node)[0] != ours
    ours = pids(node)[0]
    done = play.play(*THESE, consul_kam_ready_timeout=100)
    assert done.did("No token of Consul's") == ["changed"]
    assert not node.path("/etc/consul_kam/token").exists()
    assert pids(node)[0] != ours


@pytest.mark.slow
def test_kamailios_own_configuration_restarts_kamailio_alone(node: Host, controller: Controllers) -> None:
    ours, kamailio = pids(node)
    done = controller(node).play(
        consul_kam_kamailio_defines={"PING_EVERY": 7}, consul_kam_kamailio_environment={"PKG_MEMORY": 16}
    )
    assert done.did("What consul_kam serves")[0] == "changed"
    assert pids(node)[0] == ours
    assert pids(node)[1] not in (0, kamailio)
    argv = node.path(f"/proc/{pids(node)[1]}/cmdline").read_text().split("\0")
    assert argv[argv.index("-M") + 1] == "16"
    assert argv[argv.index("-f") + 1] == "/etc/kamailio/consul_kam.cfg"
    assert "#!define PING_EVERY 7" in node.path("/etc/kamailio/consul_kam.cfg").read_text()
    register(node, "r1", "r2")
    holds(node, "r1", "r2", unit=UNIT)


def test_a_wrong_file_is_not_put_in_place(node: Host, controller: Controllers) -> None:
    before, play = pids(node), controller(node)
    cases = (
        (
            {"consul_kam_settings": {"node": {"boot_timeout": "soon"}}},
            "boot_timeout",
            "/etc/consul_kam/consul-kam.toml",
        ),
        ({"consul_kam_kamailio_defines": {"SILENCE": "never("}}, "kamailio_cfg", "/etc/kamailio/consul_kam.cfg"),
        (
            {"consul_kam_kamailio_environment": {"not a name": 1}},
            "new.conf",
            "/etc/systemd/system/kamailio.service.d/consul_kam.conf",
        ),
        ({"consul_kam_ready_timeout": "7", "consul_kam_consul_token": "with a blank"}, "", "/etc/consul_kam/token"),
    )
    for change, said, name in cases:
        path = node.path(name)
        was = path.read_bytes() if path.exists() else None
        done = play.play("--tags", "configure", check=False, **change)
        assert done.code != 0, change
        assert "failed to validate" in done.said or "no_log" in done.said, done.said
        assert said in done.said or said == "kamailio_cfg", done.said
        assert (path.read_bytes() if path.exists() else None) == was
        assert pids(node) == before
    assert play.play(*THESE).counts["failed"] == 0
    assert pids(node) == before
    holds(node, "r1", unit=UNIT)


@pytest.mark.slow
def test_a_configuration_with_which_it_is_not_ready_is_left_again(node: Host, controller: Controllers) -> None:
    """It is valid, and wrong: no Kamailio is there. The one before is what it works with again."""
    before = node.path("/etc/consul_kam/consul-kam.toml").read_text()
    wrong = {"kamailio": {"sip": ["udp:127.0.0.1:5999"]}}
    done = controller(node).play(check=False, consul_kam_settings=wrong, consul_kam_ready_timeout=20)
    assert done.code != 0
    assert "is at work again" in done.said
    assert node.path("/etc/consul_kam/consul-kam.toml").read_text() == before
    node.wait(UNIT, "is ready again", ActiveState="active", StatusText="ready", timeout=60)
