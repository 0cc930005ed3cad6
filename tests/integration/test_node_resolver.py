"""A node whose resolver is away: Kamailio then needs up to 30 s for a start, and is given them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import Lab, Rpc, free_port, program, uris, wait_for
from tests.lab.world import uri

NAME = "ck-resolver"
OWN = "198.18.0.1"


def ip(*words: str) -> None:
    subprocess.run([program("ip"), *words], check=True, capture_output=True)


@pytest.fixture
def network() -> Iterator[str]:
    """A network whose name server swallows every question; `ip netns exec` puts this resolv.conf in place."""
    resolv = Path("/etc/netns") / NAME / "resolv.conf"
    resolv.parent.mkdir(parents=True, exist_ok=True)
    resolv.write_text("nameserver 198.18.0.53\n")
    ip("netns", "add", NAME)
    try:
        ip("-n", NAME, "link", "set", "lo", "up")
        ip("-n", NAME, "link", "add", "here", "type", "veth", "peer", "name", "there")
        ip("-n", NAME, "addr", "add", f"{OWN}/24", "dev", "here")
        for end in ("here", "there"):
            ip("-n", NAME, "link", "set", end, "up")
        ip("-n", NAME, "neigh", "add", "198.18.0.53", "lladdr", "02:00:00:00:00:01", "dev", "here")
        yield NAME
    finally:
        ip("netns", "del", NAME)
        resolv.unlink()
        resolv.parent.rmdir()


@pytest.mark.slow
def test_a_kamailio_that_waits_for_its_resolver_is_not_killed(lab: Lab, network: str) -> None:
    consul = lab.consul()
    consul.stop()
    static = f'[[datasets.dispatcher.sets]]\nservice = "router"\nstatic = ["{uri(7)} 0 5"]\n'
    node = lab.node(
        consul,
        kamailio={"modparams": f"auto_aliases=yes\ndns_retr_time=5\ndns_retr_no=2\nlisten=udp:{OWN}:{free_port()}"},
        node_lines="boot_timeout = 0.5",
        dispatcher=static,
        wrapper=("ip", "netns", "exec", network),
    )
    wait_for("its start", lambda: node.process()["state"] == "STARTING" and node.process()["pid"], 20, node.log)
    began = node.process()["since"]
    assert "STARTING" in node.ask("status")["node"]["waits_for"]
    pid = node.runs(timeout=60)
    found = node.process()
    assert (found["pid"], found["restarts"]) == (pid, 0)
    assert found["since"] - began > 5, "the resolver did not hold it up: the test shows nothing"
    wait_for("the list", lambda: uris(Rpc(node.kamailio.ctl).dispatcher()) == [uri(7)], 20, node.log)
    node.ready(timeout=30)
