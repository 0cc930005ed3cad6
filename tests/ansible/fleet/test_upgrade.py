"""upgrade.yml and rollback.yml under calls of a carrier that knows nothing of Consul; Kamailio is started anew, too."""

import json
import shlex
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.ansible.fleet.calls import PORT, Calls, Gateway, carrier
from tests.ansible.fleet.conftest import NEW, NODES, OLD, inventory, release
from tests.ansible.fleet.site import ADDRESSES, Site
from tests.lab.process import wait_for

pytestmark = pytest.mark.slow

RATE, SECONDS = 30, 10.0
COMMAND = "/opt/consul_kam/current/bin/consul-kam"
RESTART = ("-e", "fleet_restart_kamailio=true")


class Under:
    """A fleet and calls through it."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        self.site, self._stack = site, stack
        self.gateway = stack.enter_context(Gateway(site.network.add("gateway", ADDRESSES["gateway"])))
        self._caller = site.network.add("caller", ADDRESSES["caller"])
        register = ("-name=gateway", "-id=g1", f"-address={self.gateway.address}", f"-port={PORT}")
        site["consul1"].run("consul", "services", "register", *register)
        for name in NODES[:3]:
            wait_for(f"the gateway at {name}", lambda name=name: self._knows(name), 30, every=0.2)  # type: ignore[misc]
        self._carrier = carrier(site, "sbc1", "sbc2")

    def _knows(self, name: str) -> bool:
        return self.gateway.uri in self.site[name].run("kamcmd", "dispatcher.list", check=False)

    def calls(self, who: str, rate: int = RATE, seconds: float = SECONDS) -> Calls:
        """They have begun; `who` hangs up."""
        self.gateway.hangs_up = seconds if who == "callee" else None
        place = self.site.directory / f"sipp-{who}"
        made = Calls(place, self._caller, self._carrier.address, who, rate, seconds, ADDRESSES["sbc1"])
        self._stack.enter_context(made)
        wait_for("calls", lambda: self.gateway.calls > 3 * rate, 30, every=0.2)
        return made


@pytest.fixture
def under(fleet: Site) -> Iterator[Under]:
    with ExitStack() as stack:
        yield Under(fleet, stack)


def version(site: Site, name: str) -> str:
    found: str = json.loads(site[name].run(COMMAND, "version", "--json"))["consul_kam"]
    return found


def versions(site: Site) -> list[str]:
    return [version(site, name) for name in NODES]


def pids(site: Site, unit: str) -> list[str]:
    return [site[name].host.show(unit)["MainPID"] for name in NODES]


def ready(site: Site) -> None:
    """And nobody drained, all lists proven."""
    site.play("status.yml", "-i", inventory(site))


def test_up_and_back_again_without_a_call_that_fails(under: Under) -> None:
    """The figures of README.md."""
    site, words = under.site, ("-i", inventory(under.site), *RESTART)
    for playbook, who, number in (("upgrade.yml", "caller", NEW), ("rollback.yml", "callee", OLD)):
        kamailios = pids(site, "kamailio.service")
        calls = under.calls(who)
        site.play(playbook, *words, *(release(NEW) if playbook == "upgrade.yml" else []))
        assert calls.running(), "they went under calls"
        created, failed = calls.end(under.gateway)
        print(f"{playbook}: {created} calls, {who} hangs up, {len(failed)} failed")
        assert failed == set(), calls.errors()[-4000:]
        assert created > 1000
        assert versions(site) == [number] * 5
        assert not set(kamailios) & set(pids(site, "kamailio.service")), "each was started anew"
        ready(site)


def test_a_host_is_rebooted_in_the_middle(under: Under) -> None:
    """Whoever had a call through it may lose that; nobody else does, and the upgrade goes on."""
    site, victim = under.site, under.site["router3"]
    words = ("-i", inventory(site), *RESTART, *release(NEW))
    calls = under.calls("caller")
    upgrade = site.typed(f"ansible-playbook upgrade.yml {shlex.join(words)}")
    wait_for("the first node's new release", lambda: version(site, NODES[0]) == NEW, 300, every=1)
    victim.host.power_cut()
    victim.start()
    assert upgrade.poll() is None, "in the middle"
    site.ended(upgrade)
    assert calls.running(), "they went under calls"
    created, failed = calls.end(under.gateway)
    others = {each for each in failed if victim.address not in under.gateway.routes.get(each, set())}
    print(f"upgrade.yml: {created} calls, {len(failed)} failed, {len(others)} of them not by way of {victim.name}")
    assert others == set(), calls.errors()[-4000:]
    assert versions(site) == [NEW] * 5
    ready(site)


def test_a_node_that_does_not_come_up_is_the_last_one(under: Under) -> None:
    """The second of five: the first serves with the new release, the second with the old, the rest is not touched."""
    site, (_, second, *rest) = under.site, NODES
    host = site[second].host
    refuses = f"[Service]\nExecStartPre=/bin/sh -c '! readlink /opt/consul_kam/current | grep -q {NEW}'\n"
    host.write("/etc/systemd/system/consul-kam.service.d/refuses.conf", refuses)
    before = dict(
        zip(NODES, zip(pids(site, "consul-kam.service"), pids(site, "kamailio.service"), strict=True), strict=True)
    )
    calls = under.calls("caller", rate=10, seconds=4)
    said = site.play("upgrade.yml", "-i", inventory(site), *release(NEW), check=False)
    created, failed = calls.end(under.gateway)
    assert (failed, created > 300) == (set(), True), calls.errors()[-4000:]
    assert f"cannot put release {NEW} to work on {second}" in said
    assert versions(site) == [NEW, OLD, OLD, OLD, OLD]
    after = dict(
        zip(NODES, zip(pids(site, "consul-kam.service"), pids(site, "kamailio.service"), strict=True), strict=True)
    )
    assert [after[name] == before[name] for name in rest] == [True] * 3, "not touched"
    ready(site)
