"""An RTPEngine leaves under calls with media: two real daemons behind a router as it ships, RTP by sipp."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from consul_kam.adapters import ng
from tests.integration.registering import statuses
from tests.lab import VERSIONS, ConsulAgent, Lab, Process, Sipp, free_port, wait_for
from tests.lab.callee import Echo
from tests.lab.fleet import DEFINE, QUICK, SCENARIO, Member, cli, member, routers
from tests.lab.node import Rtp

HERE = Path(__file__).parents[1] / "lab"
DRAIN = 'on_stop = "leave"\nquiet_for = 12\nannounce_max = 25\ndeadline = 90'
"""Longer than the 10 s in which Kamailio may refuse another reload of its RTPEngines."""


class Relay:
    """A daemon, and the node that keeps it."""

    def __init__(self, stack: ExitStack, lab: Lab, consul: ConsulAgent, first: int) -> None:
        self.port = free_port()
        listen = [f"--listen-ng=127.0.0.1:{self.port}", f"--port-min={first}", f"--port-max={first + 999}"]
        argv = ["rtpengine", "--config-file=none", "--table=-1", "--interface=127.0.0.1", *listen, "--foreground"]
        self.log = lab.directory / f"rtpengine-{self.port}.log"
        self.daemon = Process([*argv, "--log-stderr", f"--pidfile={lab.directory}/{self.port}.pid"], self.log)
        stack.callback(self.daemon.stop)
        self.node: Rtp = lab.rtp(consul, self.port, drain=DRAIN)
        self.node.ready()

    @property
    def sessions(self) -> tuple[int, int]:
        """(up, ever)."""
        return ng.sessions(f"udp:127.0.0.1:{self.port}", 5.0)


def media(who: str) -> str:
    """Calls with media: `who` hangs up."""
    calls, end = (HERE / "media.xml").read_text(), '<recv request="BYE"'
    if who == "caller":
        return calls
    return calls.rpartition("<pause/>")[0] + end + SCENARIO["callee"].read_text().partition(end)[2]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def weights(router: Member) -> dict[int, str]:
    """NG port -> weight, as the router's Kamailio has it."""
    found = router.kamailio.rpc.call("rtpengine.show", "all")
    rows = [dict(row.members) for row in found if hasattr(row, "members")]  # type: ignore[union-attr]
    return {int(str(row["url"]).rpartition(":")[2]): str(row["weight"]) for row in rows}


@pytest.mark.parametrize("version", [VERSIONS[0], pytest.param(VERSIONS[1], marks=pytest.mark.slow)])
@pytest.mark.parametrize("who", ["caller", pytest.param("callee", marks=pytest.mark.slow)])
def test_its_sessions_end_by_themselves(
    stack: ExitStack, tmp_path: Path, consul: ConsulAgent, who: str, version: str
) -> None:
    (tmp_path / "lab").mkdir()
    lab = stack.enter_context(Lab(tmp_path / "lab"))
    callee = stack.enter_context(Echo())
    callee.hangs_up = 3.0 if who == "callee" else None
    base = free_port() // 2 * 2 % 20_000 + 30_000
    leaver, other = (Relay(stack, lab, consul, base + 1000 * n) for n in range(2))
    sets = routers([callee.uri])
    define = f"{DEFINE}\n#!define WITH_RTPENGINE"
    router = member(tmp_path / "router", consul, "router", sets, version, True, QUICK, define, rtpengine="")
    stack.enter_context(router)
    router.ready()
    wait_for("both", lambda: weights(router) == {leaver.port: "1", other.port: "1"}, 30, router.log)
    place = tmp_path / "sipp"
    place.mkdir()
    (place / "tone.raw").write_bytes(b"\xd5" * 8000)
    (place / "calls.xml").write_text(media(who))
    sipp = Sipp(
        place, router.kamailio.sip_port, 4, 1000, 1500, place / "calls.xml", "-mi", "127.0.0.1", "-mp", str(base + 3000)
    )
    stack.callback(sipp.stop)
    wait_for("sessions on both", lambda: leaver.sessions[0] > 2 and other.sessions[0] > 2, 30)
    said = cli(leaver.node, "drain", "--reason", "new kernel")
    assert "drained: no call is left" in said
    assert leaver.sessions[0] == 0
    assert weights(router) == {leaver.port: "0", other.port: "1"}
    assert sipp.running(), "it left under calls"
    # it is well: Consul must not forget it as a dead one
    wait_for("passing", lambda: statuses(consul, "node-rtp1")[":ttl"] == "passing", 10)
    ever = leaver.sessions[1]
    leaver.daemon.stop(signal.SIGTERM)
    sipp.quit()
    calls = sipp.wait(60)
    assert calls.created > 100
    assert calls.failed == 0, sipp.errors()
    wait_for("the callee's last BYE", lambda: not callee.open, 15)
    assert callee.failed == []
    assert callee.ended == (calls.created if who == "callee" else 0)
    assert ever > 5
    assert callee.packets > 100 * 20
    for log in (leaver.log, other.log):
        assert "timed out" not in log.read_text(errors="replace").lower()
    assert os.path.exists(f"/proc/{other.daemon.pid}")
