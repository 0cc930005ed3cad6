"""The probes that ask RTPEngine and Consul, against real ones."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.app.world import NodeWorld
from consul_kam.config import parse
from tests.lab import ConsulAgent, Process, free_port, wait_for
from tests.probes.node import becomes, found, world

# -- rtpengine_ng -----------------------------------------------------------------------------------------------------


@contextmanager
def rtpengine(directory: Path, kind: str) -> Iterator[tuple[Process, NodeWorld]]:
    """A real one that speaks NG over udp or tcp, and a node of role rtp beside it."""
    port, other = free_port(), free_port()
    argv = ["rtpengine", "--config-file=none", "--table=-1", "--interface=127.0.0.1", "--foreground", "--log-stderr"]
    # Without a UDP port it does not start.
    argv += [f"--listen-ng=127.0.0.1:{port if kind == 'udp' else other}", "--port-min=32200", "--port-max=32299"]
    argv += [f"--listen-tcp-ng=127.0.0.1:{port}"] if kind == "tcp" else []
    media = Process(argv, directory / "rtpengine.log")
    text = f'[node]\nrole = "rtp"\nstate_dir = "{directory}"\n[rtpengine]\nng = "{kind}:127.0.0.1:{port}"'
    try:
        yield media, world(parse(text, "f.toml", {}))
    finally:
        media.send(signal.SIGCONT)
        media.stop()


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_real_rtpengine_says_pong_and_no_more_once_it_is_stopped_or_gone(tmp_path: Path, kind: str) -> None:
    with rtpengine(tmp_path, kind) as (media, here):
        assert becomes("rtpengine_ng", here, True).reason == ""
        media.send(signal.SIGSTOP)
        silent = found("rtpengine_ng", here, 0.7)
        assert (silent.ok, silent.reason) == (False, f"cannot ping {here.node.ng}: no answer within 0.7 s")
        media.send(signal.SIGCONT)
        becomes("rtpengine_ng", here, True)
        media.stop()
        assert found("rtpengine_ng", here).reason == f"cannot ping {here.node.ng}: Connection refused"


# -- consul -----------------------------------------------------------------------------------------------------------


def beside(address: str) -> NodeWorld:
    chosen = parse('[node]\nrole = "sbc"\nstate_dir = "/nowhere"', "f.toml", {})
    return world(chosen, consul=lambda: Consul(address))


def test_consul_has_a_leader_hangs_and_is_gone(tmp_path: Path) -> None:
    with ConsulAgent(tmp_path) as agent:
        here = beside(agent.address)
        becomes("consul", here, True)
        agent.pause(True)
        silent = found("consul", here)
        assert (silent.ok, silent.reason) == (False, f"cannot reach Consul at {agent.address}: no answer within 1 s")
        agent.pause(False)
        becomes("consul", here, True)
        agent.stop()
        assert found("consul", here).reason == f"cannot reach Consul at {agent.address}: Connection refused"
        agent.start()
        becomes("consul", here, True)


def test_an_agent_that_knows_no_server_has_no_leader(tmp_path: Path) -> None:
    port = free_port()
    argv = ["consul", "agent", "-bind=127.0.0.1", f"-data-dir={tmp_path}", f"-http-port={port}", "-dns-port=-1"]
    argv += [f"-serf-lan-port={free_port()}", "-log-level=warn"]
    agent = Process(argv, tmp_path / "consul.log")
    try:
        here = beside(f"127.0.0.1:{port}")
        last = ["Consul's agent answers, and has no leader"]
        wait_for("its answer", lambda: found("consul", here).reason in last, 20, tmp_path / "consul.log", every=0.1)
        assert found("consul", here).ok is False
    finally:
        agent.stop(signal.SIGKILL)


def test_a_token_that_may_not_ask_is_no_leader(tmp_path: Path) -> None:
    """/v1/status/leader needs none: it is answered all the same."""
    with ConsulAgent(tmp_path, acl=True) as agent:
        assert found("consul", beside(agent.address)).ok is True
