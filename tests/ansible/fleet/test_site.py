"""site.yml takes the shipped inventories, as they stand, from bare hosts to fleets that calls flow through."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ansible.fleet.calls import PORT, Calls, Gateway
from tests.ansible.fleet.conftest import OLD, SUITE, release
from tests.ansible.fleet.site import ADDRESSES, Site
from tests.lab.process import wait_for

MINIMAL = ("sbc1", "router1", "router2")
C4 = ("consul1", "consul2", "consul3", "rtp1", "rtp2", "router1", "router2", "sbc1", "sbc2")


@pytest.fixture
def site(wheels: Path, tmp_path: Path) -> Iterator[Site]:
    """No host yet."""
    with Site(tmp_path / "site", SUITE) as made:
        (made.tree / "wheels").symlink_to(wheels)
        yield made


def recap(said: str) -> dict[str, dict[str, int]]:
    """Host -> what -> how often, of PLAY RECAP."""
    lines = re.findall(r"(?m)^(\w+) +: (ok=.*)$", said)
    return {host: {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", rest)} for host, rest in lines}


def call(site: Site, sbc: str) -> None:
    """Some calls through this SBC to a gateway that Consul knows, without one that fails."""
    gateway, caller = (site.network.add(name, ADDRESSES[name]) for name in ("gateway", "caller"))
    with Gateway(gateway) as callee:
        register = ("-name=gateway", "-id=g1", f"-address={callee.address}", f"-port={PORT}")
        site[sbc].run("consul", "services", "register", *register)
        routers = [machine for name, machine in site.machines.items() if name.startswith("router")]
        for router in routers:
            wait_for("the gateway", lambda r=router: callee.uri in r.run("kamcmd", "dispatcher.list"), 30, every=0.2)  # type: ignore[misc]
        address = ADDRESSES[sbc]
        with Calls(site.directory / "sipp", caller, address, "caller", 10, 1.0, address) as calls:
            wait_for("calls", lambda: callee.calls > 30, 30, every=0.2)
            created, failed = calls.end(callee)
        assert (failed, created > 30) == (set(), True), calls.errors()


@pytest.mark.slow
def test_three_bare_hosts_become_a_fleet(site: Site) -> None:
    """Without a way out; again, and nothing is changed."""
    words = ("-i", "inventories/minimal", *release(OLD))
    site.boot(*MINIMAL)
    assert site.controller.run("ip", "route", "show", "default") == ""
    site.play("site.yml", *words)
    call(site, "sbc1")
    again = recap(site.play("site.yml", *words))
    assert {host: (counts["changed"], counts["failed"]) for host, counts in again.items()} == dict.fromkeys(
        MINIMAL, (0, 0)
    )
    table = site.play("status.yml", "-i", "inventories/minimal")
    for host in MINIMAL:
        assert re.search(rf'"{host} .*{re.escape(OLD)} +ready +equal +0 ', table), table
    said = site.play("drain.yml", "-i", "inventories/minimal", "--limit", "sbc1", check=False)
    assert "cannot drain sbc1: it is the only sbc" in said
    site["router2"].host.systemctl("stop", "consul-kam.service")
    table = site.play("status.yml", "-i", "inventories/minimal", check=False)
    assert "cannot call it well: router2" in table


@pytest.mark.slow
def test_the_fleet_of_the_article(site: Site) -> None:
    site.boot(*C4)
    site.play("site.yml", "-i", "inventories/c4", *release(OLD))
    routers = site["sbc1"].run("kamcmd", "dispatcher.list")
    found = dict(re.findall(r"URI: sip:(192\.0\.2\.2\d):5060.*?rweight=(\d+)", routers, re.DOTALL))
    assert found == {ADDRESSES["router1"]: "10", ADDRESSES["router2"]: "5"}, routers
    engines = site["router1"].run("kamcmd", "rtpengine.show", "all")
    assert sorted(re.findall(r"url: udp:(192\.0\.2\.3\d):2223", engines)) == [ADDRESSES["rtp1"], ADDRESSES["rtp2"]]
    raft = site["consul1"].run("consul", "operator", "raft", "list-peers")
    assert len(re.findall(r"consul\d", raft)) == 3, raft
    call(site, "sbc1")
    site.play("status.yml", "-i", "inventories/c4")
