"""Fifo against a Kamailio that stalls, lies and leaves, over real FIFOs."""

import contextlib
import json
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.jsonrpc_fifo import Fifo
from consul_kam.core.ports import Call
from consul_kam.errors import ConfigError, RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable
from tests.lab import wait_for

Request = dict[str, Any]
Behaviour = Callable[["Server", Request], None]
TWO: list[Call] = [("core.echo", ("0",)), ("core.echo", ("1",))]


class Server:
    """Reads requests like Kamailio's one FIFO process; the next behaviour serves each, the last one again and again."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.path = directory, directory / "rpc.fifo"
        self.behaviours, self.requests, self.chunks = list[Behaviour](), list[Request](), list[bytes]()
        self.failed = threading.Event()
        os.mkfifo(self.path)
        self.reading = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.writing = os.open(self.path, os.O_WRONLY)
        os.set_blocking(self.reading, True)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        decoder, text = json.JSONDecoder(), ""
        while chunk := os.read(self.reading, 65_536):
            self.chunks.append(chunk)
            text += chunk.decode()
            while text.strip():
                request, end = decoder.raw_decode(text.lstrip())
                text = text.lstrip()[end:]
                self.requests.append(request)
                (self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0])(self, request)

    def reply(self, request: Request, data: bytes) -> None:
        try:
            writing = os.open(self.directory / request["reply_name"], os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            self.failed.set()
            return
        os.set_blocking(writing, True)
        try:
            while data:
                data = data[os.write(writing, data) :]
        except BrokenPipeError:
            self.failed.set()
        os.close(writing)

    def close(self) -> None:
        os.write(self.writing, b'{"method":"stop"}')


def document(request: Request, result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "result": result, "id": request["id"]}).encode()


def echoes(server: Server, request: Request) -> None:
    server.reply(request, document(request, request["params"]))


def silent(server: Server, request: Request) -> None:
    pass


def sends(data: bytes) -> Behaviour:
    return lambda server, request: server.reply(request, data)


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="ck-") as directory:
        server = Server(Path(directory))
        yield server
        server.behaviours = [silent]
        server.close()


@pytest.fixture
def rpc(server: Server) -> Fifo:
    return Fifo(server.path, server.directory)


def left(server: Server) -> list[str]:
    return sorted(path.name for path in server.directory.iterdir() if path != server.path)


def test_calls_answers_and_what_stays(server: Server, rpc: Fifo) -> None:
    server.behaviours = [echoes]
    assert [rpc.call("core.echo", str(number), deadline=5) for number in range(3)] == [("0",), ("1",), ("2",)]
    assert rpc.generation == 1
    assert len({request["reply_name"] for request in server.requests}) == 3
    assert len({request["id"] for request in server.requests}) == 3
    assert left(server) == []
    rpc.close()


def test_a_fault_and_another_call(server: Server, rpc: Fifo) -> None:
    def fault(server: Server, request: Request) -> None:
        error = {"code": 500, "message": "Ongoing reload"}
        server.reply(request, json.dumps({"jsonrpc": "2.0", "error": error, "id": request["id"]}).encode())

    server.behaviours = [fault, echoes, fault, echoes]
    with pytest.raises(RpcFault, match=r"cannot dispatcher\.reload: 500 Ongoing reload"):
        rpc.call("dispatcher.reload", deadline=5)
    assert rpc.call("core.echo", "mine", deadline=5) == ("mine",)
    failed, fine = rpc.call_in_order(TWO, deadline=5)
    assert isinstance(failed, RpcFault)
    assert fine == ("1",)


def test_several_requests_leave_in_one_write(server: Server, rpc: Fifo) -> None:
    server.behaviours = [echoes]
    assert rpc.call_in_order(TWO, deadline=5) == [("0",), ("1",)]
    assert [request["params"] for request in server.requests] == [["0"], ["1"]]
    assert len(server.chunks) == 1


def test_long_requests_in_order_go_one_after_the_other(server: Server, rpc: Fifo) -> None:
    server.behaviours = [echoes]
    calls: list[Call] = [("core.echo", ("x" * 3000,)), ("core.echo", ("y" * 3000,))]
    assert rpc.call_in_order(calls, deadline=5) == [("x" * 3000,), ("y" * 3000,)]


def test_a_request_that_is_too_long_is_not_sent(server: Server, rpc: Fifo) -> None:
    server.behaviours = [echoes]
    with pytest.raises(RpcTooBig, match="not sent"):
        rpc.call("core.echo", "x" * 5000, deadline=5)
    assert rpc.call("core.echo", "short", deadline=5) == ("short",)
    assert len(server.requests) == 1


def test_a_long_reply(server: Server, rpc: Fifo) -> None:
    server.behaviours = [lambda server, request: server.reply(request, document(request, ["x" * 2_000_000]))]
    assert rpc.call("core.echo", deadline=10) == ("x" * 2_000_000,)


def test_a_reply_over_our_limit_does_not_hold_kamailio_up(server: Server) -> None:
    rpc = Fifo(server.path, server.directory, max_reply=100_000)
    server.behaviours = [lambda server, request: server.reply(request, document(request, ["x" * 2_000_000])), echoes]
    with pytest.raises(RpcTooBig, match="over our limit"):
        rpc.call("core.echo", deadline=10)
    assert server.failed.wait(10)
    assert rpc.call("core.echo", "next", deadline=5) == ("next",)


@pytest.mark.parametrize(
    "data", [b"", b"OK", b'{"jsonrpc":"2.0","result":{},"id":1', b'{"jsonrpc":"2.0","result":{},"id":0}', b"[" * 50_000]
)
def test_a_malformed_reply(server: Server, rpc: Fifo, data: bytes) -> None:
    server.behaviours = [sends(data), echoes]
    with pytest.raises(RpcMalformed, match=r"^cannot read"):
        rpc.call("core.uptime", deadline=5)
    assert rpc.call("core.echo", "next", deadline=5) == ("next",)
    assert left(server) == []


def test_a_late_reply_is_nobody_elses(server: Server, rpc: Fifo) -> None:
    kept: list[Request] = []
    server.behaviours = [lambda _, request: kept.append(request), echoes]
    with pytest.raises(RpcTimeout, match=r"cannot tell whether dispatcher\.reload was .*fifo_reply_dir"):
        rpc.call("dispatcher.reload", deadline=0.2)
    assert left(server) == []
    wait_for("the request", lambda: kept, 10)
    server.reply(kept[0], document(kept[0], ["late"]))
    assert server.failed.is_set()
    assert rpc.call("core.echo", "mine", deadline=5) == ("mine",)
    assert rpc.generation == 2


def test_a_reply_that_never_ends(server: Server, rpc: Fifo) -> None:
    ended = threading.Event()

    def half(server: Server, request: Request) -> None:
        writing = os.open(server.directory / request["reply_name"], os.O_WRONLY)
        os.write(writing, b'{"jsonrpc"')
        ended.wait(10)
        os.close(writing)

    server.behaviours = [half, echoes]
    with pytest.raises(RpcTimeout, match=r"no whole reply in time$"):
        rpc.call("core.uptime", deadline=1.5)
    ended.set()
    assert rpc.call("core.echo", "mine", deadline=5) == ("mine",)


def test_blanks_go_before_the_request_after_an_unheard_one(server: Server, rpc: Fifo) -> None:
    """They end what somebody left open; 8,191 characters are the most that Kamailio reads as one request."""
    server.behaviours = [silent, echoes]
    with pytest.raises(RpcTimeout):
        rpc.call("core.uptime", deadline=0.1)
    wait_for("it to be read", lambda: server.requests, 10)
    server.chunks.clear()
    assert [rpc.call("core.echo", text, deadline=5) for text in "12"] == [("1",), ("2",)]
    stream = b"".join(server.chunks)
    blanks = len(stream) - len(stream.lstrip())
    assert blanks + stream.strip().index(b"}{") + 1 == 8_190
    assert set(stream[:blanks]) == set(b" ")


def test_nobody_reads(tmp_path: Path) -> None:
    rpc = Fifo(tmp_path / "fifo", tmp_path)
    with pytest.raises(RpcUnreachable, match=r"No such file.*fifo_name"):
        rpc.call("core.uptime", deadline=5)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(RpcUnreachable, match="nobody reads it"):
        rpc.call("core.uptime", deadline=5)
    assert rpc.generation == 0


def test_a_full_fifo_that_nobody_empties(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reading = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(tmp_path / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while os.write(writing, b" " * 4096):
            pass
    with pytest.raises(RpcUnreachable, match="it is full"):
        Fifo(tmp_path / "fifo", tmp_path).call("core.uptime", deadline=0.2)
    assert [path.name for path in tmp_path.iterdir()] == ["fifo"]
    os.close(reading)
    os.close(writing)


def test_what_is_no_fifo_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RpcUnreachable, match="it is no FIFO"):
        Fifo(tmp_path / "file", tmp_path).call("core.uptime", deadline=5)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_fifo_that_kamailio_made_anew_is_another_generation(server: Server, rpc: Fifo) -> None:
    server.behaviours = [echoes]
    rpc.call("core.echo", deadline=5)
    other = server.directory / "other"
    os.mkfifo(other)
    reading = os.open(other, os.O_RDONLY | os.O_NONBLOCK)
    other.replace(server.path)
    with pytest.raises(RpcTimeout):
        rpc.call("core.echo", deadline=0.1)
    assert rpc.generation == 2
    os.close(reading)


def test_the_reply_fifo_is_ours_alone(server: Server, rpc: Fifo) -> None:
    seen: list[os.stat_result] = []

    def looks(server: Server, request: Request) -> None:
        seen.append((server.directory / request["reply_name"]).lstat())
        echoes(server, request)

    server.behaviours = [looks]
    rpc.call("core.echo", deadline=5)
    assert stat.S_ISFIFO(seen[0].st_mode)
    assert (stat.S_IMODE(seen[0].st_mode), seen[0].st_uid) == (0o600, os.geteuid())


def test_a_directory_that_everybody_may_change_is_refused(server: Server, tmp_path: Path) -> None:
    server.behaviours = [echoes]
    tmp_path.chmod(0o777)
    with pytest.raises(RpcUnreachable, match=r"everybody may remove.*chmod \+t"):
        Fifo(server.path, tmp_path).call("core.echo", deadline=5)
    tmp_path.chmod(0o1777)
    with pytest.raises(RpcTimeout):  # not where this server looks, but taken
        Fifo(server.path, tmp_path).call("core.echo", deadline=0.1)
    assert list(tmp_path.iterdir()) == []


def test_no_directory_for_replies(server: Server) -> None:
    with pytest.raises(RpcUnreachable, match=r"cannot have replies in .*rpc_reply_dir"):
        Fifo(server.path, server.directory / "none").call("core.echo", deadline=5)
    with pytest.raises(ConfigError, match="too long for jsonrpcs"):
        Fifo(server.path, Path("/" + "x" * 90))
