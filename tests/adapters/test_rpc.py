"""The `rpc` setting."""

import os
import ssl
from pathlib import Path

import pytest

from consul_kam.adapters.binrpc import BinRpc
from consul_kam.adapters.jsonrpc_fifo import Fifo
from consul_kam.adapters.jsonrpc_http import Http
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
    ("spec", "host", "port", "path", "secured"),
    [
        ("http://127.0.0.1:8090", "127.0.0.1", 8090, "/RPC", False),
        ("http://127.0.0.1:8090/", "127.0.0.1", 8090, "/", False),
        ("http://localhost:8090/a/b?c=d", "127.0.0.1", 8090, "/a/b?c=d", False),
        ("http://[::1]:8090/RPC", "::1", 8090, "/RPC", False),
        ("https://10.0.0.1:8443/RPC", "10.0.0.1", 8443, "/RPC", True),
    ],
)
def test_http_forms(spec: str, host: str, port: int, path: str, secured: bool) -> None:
    rpc = connect(spec)
    assert isinstance(rpc, Http)
    place = rpc._place
    assert (place.host, place.port, place.path, place.tls is not None) == (host, port, path, secured)
    assert place.request(b"{}").endswith(b"\r\nContent-Length: 2\r\n\r\n{}")
    assert f"\r\nHost: {spec.split('/')[2]}\r\n".encode() in place.request(b"")
    if place.tls is not None:
        assert place.tls.check_hostname
        assert place.tls.verify_mode is ssl.CERT_REQUIRED


def test_fifo_form() -> None:
    rpc = connect("fifo:/run/kamailio/kamailio_rpc.fifo", reply_dir="/run/kamailio")
    assert isinstance(rpc, Fifo)
    assert rpc.generation == 0


@pytest.mark.parametrize("spec", ["http://kam:secret@127.0.0.1:8090/RPC", "https://secret@127.0.0.1:8090/RPC"])
def test_a_password_in_the_url_is_refused_and_not_repeated(spec: str) -> None:
    with pytest.raises(ConfigError, match="rpc_password_file") as caught:
        connect(spec)
    assert "secret" not in str(caught.value)


PASSWORD_FILES = {
    "others may read it": (b"kam:secret", 0o604, "chmod 600"),
    "others may write it": (b"kam:secret", 0o602, "chmod 600"),
    "the group may write it": (b"kam:secret", 0o620, "chmod 600"),
    "no colon": (b"secret", 0o600, "one line, user:password"),
    "no user": (b":secret", 0o600, "one line, user:password"),
    "two lines": (b"kam:secret\nsecret", 0o600, "one line, user:password"),
    "a header of its own": (b"kam:secret\r\nX: y", 0o600, "one line, user:password"),
    "empty": (b"", 0o600, "one line, user:password"),
    "long": (b"kam:" + b"secret" * 400, 0o600, "over 1024 bytes"),
}


@pytest.mark.parametrize(("content", "mode", "reason"), PASSWORD_FILES.values(), ids=PASSWORD_FILES.keys())
def test_password_files_that_are_refused(tmp_path: Path, content: bytes, mode: int, reason: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=reason) as caught:
        connect("http://127.0.0.1:8090/RPC", password_file=str(path))
    assert "secret" not in str(caught.value)


def test_no_password_file_and_no_authorities(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot read rpc_password_file .*No such file"):
        connect("http://127.0.0.1:8090/RPC", password_file=str(tmp_path / "none"))
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigError, match=r"^cannot use rpc_password_file"):
        connect("http://127.0.0.1:8090/RPC", password_file=str(tmp_path / "fifo"))
    with pytest.raises(ConfigError, match=r"^cannot use rpc_ca_file .*No such file"):
        connect("https://127.0.0.1:8090/RPC", ca_file=str(tmp_path / "none"))
    (tmp_path / "empty").write_bytes(b"no certificate")
    with pytest.raises(ConfigError, match=r"^cannot use rpc_ca_file"):
        connect("https://127.0.0.1:8090/RPC", ca_file=str(tmp_path / "empty"))


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
        "http://127.0.0.1/RPC",
        "http://127.0.0.1:0/RPC",
        "http://127.0.0.1:65536/RPC",
        "http://router.example.com:8090/RPC",
        "http://10.0.0.1:8090/RPC",
        "http://0.0.0.0:8090/RPC",
        "http://127.0.0.1:8090/RPC#x",
        "http://127.0.0.1:8090/R PC",
        "http://[::1:8090/RPC",
        "https://router.example.com:8090/RPC",
        "ftp://127.0.0.1:8090/RPC",
        "fifo:",
        "kamcmd:'open",
    ],
)
def test_what_cannot_be_used(spec: str) -> None:
    with pytest.raises(ConfigError, match=r"^cannot use rpc"):
        connect(spec)
