"""BinRpc over UDP: replies that come late, twice, in pieces or not at all."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from consul_kam.adapters.binrpc_wire import REPLY, encode_packet, encode_value
from consul_kam.adapters.rpc import connect
from consul_kam.core.ports import Rpc
from consul_kam.errors import RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

Behaviour = Callable[[bytes, bool], list[bytes]]


class Server:
    """Answers each datagram with what `behaviour(request, is_echo)` gives."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.spec = f"udp:127.0.0.1:{self.socket.getsockname()[1]}"
        self.behaviour: Behaviour = lambda request, is_echo: [packet(request, "fine")]
        self.requests: list[bytes] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                request, client = self.socket.recvfrom(65_536)
                self.requests.append(request)
                for datagram in self.behaviour(request, cookie(request) % 2 == 1):
                    self.socket.sendto(datagram, client)


def cookie(request: bytes) -> int:
    return int.from_bytes(request[6:10])


def packet(request: bytes, *values: str) -> bytes:
    return encode_packet(REPLY, cookie(request), b"".join(encode_value(value) for value in values))


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.socket.close()


@pytest.fixture
def rpc(server: Server) -> Iterator[Rpc]:
    rpc = connect(server.spec)
    yield rpc
    rpc.close()


def test_answers_to_older_requests_are_passed_over(server: Server, rpc: Rpc) -> None:
    old = encode_packet(REPLY, 4, encode_value("old"))
    server.behaviour = lambda request, is_echo: [old, packet(request, "fine")]
    assert [rpc.call("core.uptime", deadline=5) for _ in range(20)] == [("fine",)] * 20


def test_a_reply_in_several_datagrams_is_put_together(server: Server, rpc: Rpc) -> None:
    def pieces(request: bytes, is_echo: bool) -> list[bytes]:
        whole = packet(request, "a" * 5_000, "b" * 5_000)
        return [packet(request)] if is_echo else [whole[at : at + 3_000] for at in range(0, len(whole), 3_000)]

    server.behaviour = pieces
    assert rpc.call("dispatcher.list", deadline=5) == ("a" * 5_000, "b" * 5_000)


@pytest.mark.parametrize("lost", [0, 1], ids=["all of it", "its end"])
def test_a_reply_that_was_lost_is_too_big(server: Server, rpc: Rpc, lost: int) -> None:
    server.behaviour = lambda request, is_echo: (
        [packet(request, "x")] if is_echo else [packet(request, "x")[:-1]] * lost
    )
    with pytest.raises(RpcTooBig, match="too long for udp"):
        rpc.call("dispatcher.list", deadline=5)


def test_a_lost_echo_is_sent_again_but_never_the_request(server: Server, rpc: Rpc) -> None:
    echoes: list[bytes] = []

    def loses_the_first(request: bytes, is_echo: bool) -> list[bytes]:
        if is_echo:
            echoes.append(request)
        return [packet(request, "x")] if len(echoes) > 1 else []

    server.behaviour = loses_the_first
    with pytest.raises(RpcTooBig):
        rpc.call("dispatcher.reload", deadline=5)
    assert len(server.requests) == 1 + len(echoes)


def test_silence(server: Server, rpc: Rpc) -> None:
    server.behaviour = lambda request, is_echo: []
    with pytest.raises(RpcTimeout):
        rpc.call("dispatcher.reload", deadline=0.3)


@pytest.mark.parametrize("garbage", [b"", b"\xa1", b"garbage"])
def test_garbage(server: Server, rpc: Rpc, garbage: bytes) -> None:
    server.behaviour = lambda request, is_echo: [garbage]
    with pytest.raises(RpcMalformed):
        rpc.call("core.uptime", deadline=5)


def test_nobody_there(server: Server, rpc: Rpc) -> None:
    # shutdown wakes the thread in recvfrom, which would keep the port
    rpc.call("core.uptime", deadline=5)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as spare:
        spare.bind(("127.0.0.1", 0))
        port = spare.getsockname()[1]
    with pytest.raises(RpcUnreachable, match="refused"):
        connect(f"udp:127.0.0.1:{port}").call("core.uptime", deadline=5)
