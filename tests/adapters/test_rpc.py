"""The `rpc` setting."""

import pytest

from consul_kam.adapters.binrpc import BinRpc
from consul_kam.adapters.kamcmd import KamCmd
from consul_kam.adapters.rpc import connect
from consul_kam.errors import ConfigError


@pytest.mark.parametrize(
    "spec",
    ["unix:/run/kamailio/kamailio_ctl", "tcp:127.0.0.1:2049", "udp:localhost:2049", "tcp:[::1]:2049", "udp:::1:2049"],
)
def test_binrpc_forms(spec: str) -> None:
    rpc = connect(spec)
    assert isinstance(rpc, BinRpc)
    assert rpc.generation == 0
    rpc.close()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("kamcmd:", ("kamcmd",)),
        ("kamcmd:docker exec sbc", ("docker", "exec", "sbc", "kamcmd")),
        (
            "kamcmd:[docker exec sbc kamcmd -s 'unixs:/run/a b']",
            ("docker", "exec", "sbc", "kamcmd", "-s", "unixs:/run/a b"),
        ),
        ("kamcmd:/opt/k/sbin/kamcmd -s tcp:127.0.0.1:2049", ("/opt/k/sbin/kamcmd", "-s", "tcp:127.0.0.1:2049")),
    ],
)
def test_kamcmd_forms(spec: str, words: tuple[str, ...]) -> None:
    rpc = connect(spec)
    assert isinstance(rpc, KamCmd)
    assert rpc._command == words


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "unix:",
        "/run/ctl",
        "tcp:localhost",
        "tcp:router.example.com:2049",
        "tcp:127.0.0.1:0",
        "tcp:127.0.0.1:65536",
        "udp:127.0.0.1:x",
        "udp:127.0.0.1:²",
        "http://127.0.0.1",
        "kamcmd:'open",
    ],
)
def test_what_cannot_be_used(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot use rpc"):
        connect(spec)
