"""jsonrpcs on a real Kamailio: who gets in, what each way cannot carry, and a FIFO that others leave in disorder."""

import os
import pwd
import socket
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.jsonrpc_fifo import Fifo
from consul_kam.adapters.rpc import connect
from consul_kam.core.ports import Rpc
from consul_kam.errors import RpcError, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable
from tests.lab.kamailio import Kamailio

PASSWORD = "kam:pass word:1"


def filled(directory: Path, count: int = 3, note: str = "x", **options: object) -> Kamailio:
    kamailio = Kamailio(directory, reload_delta=0, domain=True, **options)
    # descending priorities keep the load fast
    lines = (f"1 sip:10.{n >> 8}.{n & 255}.1:5060 0 {count - n} duid=r{n};note={note}\n" for n in range(count))
    kamailio.list_file.write_text("".join(lines))
    return kamailio


def http(kamailio: Kamailio, scheme: str = "http", path: str = "/RPC", **access: str) -> Rpc:
    return connect(f"{scheme}://127.0.0.1:{kamailio.rpc_port}{path}", **access)


def fifo(kamailio: Kamailio, reply_dir: Path | None = None) -> Rpc:
    return connect(f"fifo:{kamailio.fifo}", reply_dir=str(reply_dir or kamailio.run))


def secret(directory: Path, text: str) -> str:
    path = directory / "password"
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kamailio]:
    with filled(tmp_path_factory.mktemp("guarded"), fifo=True, http_rpc="tcp", rpc_password=PASSWORD) as kamailio:
        yield kamailio


def test_the_shipped_configuration_asks_for_the_password(guarded: Kamailio, tmp_path: Path) -> None:
    right = http(guarded, password_file=secret(tmp_path, PASSWORD + "\n"))
    assert right.call("core.echo", "in", deadline=20) == ("in",)
    for wrong in ("", secret(tmp_path, "kam:another")):
        rpc = http(guarded, password_file=wrong)
        with pytest.raises(RpcUnreachable, match=r"401: .*rpc_password_file"):
            rpc.call("dispatcher.reload", deadline=20)


def test_the_shipped_configuration_answers_at_its_port_alone(guarded: Kamailio, tmp_path: Path) -> None:
    """xhttp speaks HTTP at every TCP port of Kamailio, those that face the world too."""
    access = secret(tmp_path, PASSWORD)
    for port in (guarded.sip_port, guarded.http_port):
        with pytest.raises(RpcUnreachable, match="403"):
            connect(f"http://127.0.0.1:{port}/RPC", password_file=access).call("core.uptime", deadline=20)
    with pytest.raises(RpcUnreachable, match="404"):
        http(guarded, path="/other", password_file=access).call("core.uptime", deadline=20)


@pytest.mark.parametrize("listed", [b"duid=\xff\x01;a", b'duid=a"b\\c;x={[', "duid=é😀;x=:".encode(), b"duid=\\ud8ff"])
def test_bytes_come_back_as_over_binrpc(guarded: Kamailio, tmp_path: Path, listed: bytes) -> None:
    guarded.list_file.write_bytes(b"1 sip:10.0.0.1:5060 0 0 " + listed + b"\n")
    binrpc = connect(f"unix:{guarded.ctl}")
    binrpc.call("dispatcher.reload", deadline=20)
    wanted = binrpc.call("dispatcher.list", deadline=20)
    for rpc in (fifo(guarded), http(guarded, password_file=secret(tmp_path, PASSWORD))):
        assert rpc.call("dispatcher.list", deadline=20) == wanted
        word = listed.decode(errors="surrogateescape")
        assert rpc.call("core.echo", word, word + "\\", deadline=20) == (word, word + "\\")


def test_tls(tmp_path: Path) -> None:
    access = secret(tmp_path, PASSWORD)
    with filled(tmp_path / "kamailio", http_rpc="tls", rpc_password=PASSWORD) as kamailio:
        rpc = http(kamailio, "https", ca_file=str(kamailio.ca_file), password_file=access)
        assert [rpc.call("core.echo", text, deadline=20) for text in "abc"] == [("a",), ("b",), ("c",)]
        assert rpc.call("dispatcher.list", deadline=20) == connect(f"unix:{kamailio.ctl}").call(
            "dispatcher.list", deadline=5
        )
        assert rpc.generation == 1
        with pytest.raises(RpcUnreachable, match=r"not trusted.*rpc_ca_file"):
            http(kamailio, "https", password_file=access).call("core.uptime", deadline=20)
        with pytest.raises((RpcTimeout, RpcMalformed)):
            http(kamailio).call("core.uptime", deadline=2)


def test_http_says_what_it_cannot_carry(tmp_path: Path) -> None:
    """3 MB does not fit into 4 MB of private memory twice: xhttp would say nothing."""
    with filled(tmp_path, 10_000, "x" * 80, fifo=True, http_rpc="tcp", shm=128, pkg=4) as kamailio:
        rpc = http(kamailio)
        with pytest.raises(RpcTooBig, match="-M 64"):
            rpc.call("dispatcher.list", deadline=20)
        assert rpc.call("core.echo", "next", deadline=20) == ("next",)
        whole = fifo(kamailio).call("dispatcher.list", deadline=20)
        assert str(whole).count("'DEST'") == 10_000


@pytest.mark.parametrize("raised", [False, True])
def test_http_breaks_off_what_is_over_the_queue(tmp_path: Path, raised: bool) -> None:
    queue = "tcp_conn_wq_max=67108864\ntcp_wq_max=134217728" if raised else ""
    # 16 MB; the kernel takes up to net.ipv4.tcp_wmem's third number at once, 4 MB by default
    big = {"note": "x" * 800, "shm": 256, "pkg": 128, "globals": queue}
    with filled(tmp_path, 15_000, http_rpc="tcp", **big) as kamailio:
        rpc = http(kamailio)
        if raised:
            assert str(rpc.call("dispatcher.list", deadline=40)).count("'DEST'") == 15_000
        else:
            with pytest.raises(RpcTooBig, match=r"broke off after \d+ of \d+ bytes.*tcp_conn_wq_max=67108864"):
                rpc.call("dispatcher.list", deadline=40)
        assert rpc.call("core.echo", "next", deadline=20) == ("next",)


DISORDER = {
    "half a request": b'{"jsonrpc":"2.0"',
    "an open string": b'{"jsonrpc":"2.0","id":1,"reply_name":"x","method":"core.echo","params":["a\\\\"]}',
    "too long a request": b'{"' * 3500 + b"x" * 2000,
    "text": b"hello",
}


@pytest.mark.parametrize("written", DISORDER.values(), ids=DISORDER.keys())
def test_a_fifo_that_others_left_in_disorder_is_mended(guarded: Kamailio, written: bytes) -> None:
    rpc = fifo(guarded)
    assert rpc.call("core.echo", "before", deadline=20) == ("before",)
    writing = os.open(guarded.fifo, os.O_WRONLY | os.O_NONBLOCK)
    os.write(writing, written)
    os.close(writing)
    with pytest.raises(RpcTimeout):
        rpc.call("core.echo", "lost", deadline=0.5)
    assert [rpc.call("core.echo", text, deadline=20) for text in "ab"] == [("a",), ("b",)]
    assert sorted(path.name for path in guarded.run.iterdir()) == ["ctl", "pid", "rpc.fifo"]


def test_who_gives_up_does_not_stop_the_fifo(tmp_path: Path) -> None:
    """A reply of some 500 kB, of which we take less than a pipe holds: Kamailio is not left waiting for us."""
    with filled(tmp_path, 2_000, fifo=True) as kamailio:
        rpc = Fifo(kamailio.fifo, kamailio.run, max_reply=70_000)
        with pytest.raises(RpcTooBig, match="over our limit"):
            rpc.call("dispatcher.list", deadline=20)
        assert rpc.call("core.echo", "next", deadline=20) == ("next",)


def test_a_reply_directory_that_kamailio_does_not_know(guarded: Kamailio, tmp_path: Path) -> None:
    with pytest.raises(RpcTimeout, match="fifo_reply_dir"):
        fifo(guarded, tmp_path).call("core.uptime", deadline=0.5)
    assert list(tmp_path.iterdir()) == []


def as_user(uid: int, gid: int, spec: str, reply_dir: Path) -> str:
    """What core.echo answers another user, or the error that it gets."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
            os.write(
                writing, str(connect(spec, reply_dir=str(reply_dir)).call("core.echo", "in", deadline=20)).encode()
            )
        except (OSError, RpcError) as error:
            os.write(writing, repr(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as said:
        os.waitpid(child, 0)
        return said.read()


@pytest.mark.parametrize("owned", [False, True], ids=["its directory", "fifo_user"])
def test_kamailio_as_a_user_of_its_own(owned: bool) -> None:
    """We are root, or in Kamailio's group; it opens our reply FIFO as its own user. A third user gets nowhere."""
    user, third = pwd.getpwnam("kamailio"), pwd.getpwnam("nobody")
    owner = 'modparam("jsonrpcs","fifo_user","kamailio")\nmodparam("jsonrpcs","fifo_group","kamailio")' if owned else ""
    with tempfile.TemporaryDirectory(prefix="ck-") as shared:
        os.chmod(shared, 0o755)
        kamailio = filled(Path(shared) / "k", fifo=True, modparams=owner, argv=["-u", "kamailio", "-g", "kamailio"])
        for path in (kamailio.run, kamailio.directory, *kamailio.directory.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid)
        kamailio.run.chmod(0o770)
        with kamailio:
            spec = f"fifo:{kamailio.fifo}"
            assert fifo(kamailio).call("core.echo", "in", deadline=20) == ("in",)
            assert "RpcUnreachable" in as_user(third.pw_uid, third.pw_gid, spec, kamailio.run)
            if owned:
                assert as_user(third.pw_uid, user.pw_gid, spec, kamailio.run) == "('in',)"
            assert sorted(path.name for path in kamailio.run.iterdir()) == ["ctl", "pid", "rpc.fifo"]


def test_there_is_no_batch(guarded: Kamailio) -> None:
    """Over HTTP requests in order are requests of their own: an array of them gets an empty answer."""
    body = b'[{"jsonrpc":"2.0","id":1,"method":"core.uptime"}]'
    head = [
        b"POST /RPC HTTP/1.1",
        b"Authorization: Basic " + b64encode(PASSWORD.encode()),
        b"Content-Length: %d" % len(body),
    ]
    with socket.create_connection(("127.0.0.1", guarded.rpc_port), 5) as client:
        client.sendall(b"\r\n".join([*head, b"", body]))
        said, tail = b"", b'\r\n\r\n{"jsonrpc":"2.0","result":{}}'
        while not said.endswith(tail) and (more := client.recv(4096)):
            said += more
        assert said.endswith(tail)
