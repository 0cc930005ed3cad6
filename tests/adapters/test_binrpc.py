"""BinRpc against servers that lie, drip, stop and die, over real sockets."""

import contextlib
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.binrpc import Address, BinRpc
from consul_kam.adapters.binrpc_wire import FAULT, REPLY, encode_packet, encode_value
from consul_kam.adapters.rpc import connect
from consul_kam.errors import RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable

Behaviour = Callable[[socket.socket, bytes], None]


class Server:
    """Accepts on a unix socket; per request does what the next behaviour says, the last one again and again."""

    def __init__(self, path: Path) -> None:
        self.path, self.behaviours, self.requests = path, list[Behaviour](), list[bytes]()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while request := client.recv(65_536):
                self.requests.append(request)
                behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                behaviour(client, request)


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ck-") as directory:
        yield Path(directory) / "ctl"


@pytest.fixture
def server(path: Path) -> Iterator[Server]:
    server = Server(path)
    yield server
    server.listener.close()


@pytest.fixture
def rpc(path: Path) -> Iterator[BinRpc]:
    rpc = connect(f"unix:{path}")
    assert isinstance(rpc, BinRpc)
    yield rpc
    rpc.close()


def packet(request: bytes, *values: str, kind: int = REPLY) -> bytes:
    return encode_packet(kind, int.from_bytes(request[6:10]), b"".join(encode_value(value) for value in values))


def answer(client: socket.socket, request: bytes) -> None:
    client.sendall(packet(request, "fine"))


def sends(make: Callable[[bytes], bytes]) -> Behaviour:
    return lambda client, request: client.sendall(make(request))


def closes(client: socket.socket, request: bytes) -> None:
    client.shutdown(socket.SHUT_RDWR)


def test_a_connection_is_kept(server: Server, rpc: BinRpc) -> None:
    server.behaviours = [answer]
    assert [rpc.call("core.uptime", deadline=5) for _ in range(3)] == [("fine",)] * 3
    assert rpc.generation == 1


def test_a_reply_in_many_pieces_is_put_together(server: Server, rpc: BinRpc) -> None:
    def pieces(client: socket.socket, request: bytes) -> None:
        for byte in packet(request, "in", "pieces"):
            client.sendall(bytes((byte,)))

    server.behaviours = [pieces]
    assert rpc.call("core.uptime", deadline=5) == ("in", "pieces")


def test_a_fault_keeps_the_connection(server: Server, rpc: BinRpc) -> None:
    def fault(client: socket.socket, request: bytes) -> None:
        body = encode_value(500) + encode_value("Ongoing reload")
        client.sendall(encode_packet(FAULT, int.from_bytes(request[6:10]), body))

    server.behaviours = [fault, answer]
    with pytest.raises(RpcFault, match=r"cannot dispatcher\.reload: 500 Ongoing reload") as caught:
        rpc.call("dispatcher.reload", deadline=5)
    assert (caught.value.code, caught.value.reason) == (500, "Ongoing reload")
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 1


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "no binrpc": lambda request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "another request's answer": lambda request: encode_packet(REPLY, 1, b""),
    "a request": lambda request: packet(request, kind=0),
    "bytes behind the reply": lambda request: packet(request, "x") + encode_value("more"),
    "nested without end": lambda request: encode_packet(REPLY, int.from_bytes(request[6:10]), b"\x03" * 100_000),
    "a fault without words": lambda request: packet(request, kind=FAULT),
    "a fault without a number": lambda request: packet(request, "x", "y", kind=FAULT),
    "a fault with half a number": lambda request: packet(request, "--5", "y", kind=FAULT),
    "a fault with too long a number": lambda request: packet(request, "5" * 5000, "y", kind=FAULT),
}


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_reply(server: Server, rpc: BinRpc, make: Callable[[bytes], bytes]) -> None:
    server.behaviours = [sends(make), answer]
    with pytest.raises(RpcMalformed, match=r"^cannot read"):
        rpc.call("core.uptime", deadline=5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


def endless(client: socket.socket, request: bytes) -> None:
    client.sendall(b"\xa1\x1f\xff\xff\xff\xff" + request[6:10])
    while True:
        client.sendall(b"\x00" * 65_536)


def test_an_endless_reply_is_too_big(server: Server, rpc: BinRpc) -> None:
    server.behaviours = [endless, answer]
    with pytest.raises(RpcTooBig, match="over our limit of 67108864"):
        rpc.call("dispatcher.list", deadline=5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


@pytest.mark.parametrize(
    "make",
    [lambda request: b"", lambda request: packet(request, "x")[:-1], lambda request: b"\xa1"],
    ids=["silence", "one byte missing", "half a header"],
)
def test_no_whole_reply_in_time(server: Server, rpc: BinRpc, make: Callable[[bytes], bytes]) -> None:
    server.behaviours = [sends(make), answer]
    with pytest.raises(RpcTimeout, match=r"cannot tell whether dispatcher\.reload was carried out"):
        rpc.call("dispatcher.reload", deadline=0.2)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 2


def test_a_drip_does_not_prolong_the_deadline(server: Server, rpc: BinRpc) -> None:
    def drip(client: socket.socket, request: bytes) -> None:
        for byte in packet(request, "x" * 1_000):
            client.sendall(bytes((byte,)))
            time.sleep(0.02)

    server.behaviours = [drip]
    with pytest.raises(RpcTimeout):
        rpc.call("core.uptime", deadline=0.3)


def test_a_late_reply_answers_nothing(server: Server, rpc: BinRpc) -> None:
    def late(client: socket.socket, request: bytes) -> None:
        time.sleep(0.3)
        client.sendall(packet(request, "late"))

    server.behaviours = [late, answer]
    with pytest.raises(RpcTimeout):
        rpc.call("dispatcher.reload", deadline=0.1)
    time.sleep(0.4)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


def test_an_unasked_reply_answers_nothing(server: Server, rpc: BinRpc) -> None:
    unasked = threading.Event()

    def twice(client: socket.socket, request: bytes) -> None:
        answer(client, request)
        time.sleep(0.1)
        client.sendall(encode_packet(REPLY, int.from_bytes(request[6:10]) + 2, encode_value("unasked")))
        unasked.set()

    server.behaviours = [twice, answer]
    rpc.call("core.uptime", deadline=5)
    unasked.wait(5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 2


def test_a_request_that_broke_off_is_never_sent_again(server: Server, rpc: BinRpc) -> None:
    server.behaviours = [closes, answer]
    with pytest.raises(RpcTimeout, match="closed the connection"):
        rpc.call("dispatcher.reload", deadline=5)
    assert len(server.requests) == 1


def test_a_connection_that_died_while_idle_is_replaced_unseen(server: Server, rpc: BinRpc) -> None:
    left = threading.Event()

    def answer_and_close(client: socket.socket, request: bytes) -> None:
        answer(client, request)
        client.shutdown(socket.SHUT_RDWR)
        left.set()

    server.behaviours = [answer_and_close, answer]
    rpc.call("core.uptime", deadline=5)
    assert left.wait(10)
    assert rpc.call("dispatcher.reload", deadline=5) == ("fine",)
    assert (rpc.generation, len(server.requests)) == (2, 2)


def test_a_limit_of_ctl_is_named(server: Server, rpc: BinRpc) -> None:
    def overflow(client: socket.socket, request: bytes) -> None:
        body = encode_value(500) + encode_value("Internal error creating dest")
        client.sendall(encode_packet(FAULT, int.from_bytes(request[6:10]), body))

    server.behaviours = [overflow]
    with pytest.raises(RpcTooBig, match=r'modparam\("ctl","binrpc_max_body_size",8192\)'):
        rpc.call("dispatcher.list", deadline=5)
    assert rpc.generation == 1


TWO = [("dispatcher.list", ("short",)), ("dispatcher.reload", ())]


def each(stream: bytes) -> list[bytes]:
    """The requests of one packet; ours have four bytes each for length and cookie."""
    found = []
    while stream:
        size = 10 + int.from_bytes(stream[2:6])
        found.append(stream[:size])
        stream = stream[size:]
    return found


def fault(request: bytes, reason: str) -> bytes:
    return encode_packet(FAULT, int.from_bytes(request[6:10]), encode_value(500) + encode_value(reason))


def test_calls_in_order_leave_in_one_packet_and_are_answered_one_by_one(server: Server, rpc: BinRpc) -> None:
    server.behaviours = [sends(lambda stream: b"".join(packet(r, str(n)) for n, r in enumerate(each(stream)))), answer]
    assert rpc.call_in_order(TWO, deadline=5) == [("0",), ("1",)]
    (sent,) = server.requests
    assert [b"dispatcher.list" in r for r in each(sent)] == [True, False]
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 1


def test_replies_in_pieces_that_know_no_border(server: Server, rpc: BinRpc) -> None:
    def pieces(client: socket.socket, stream: bytes) -> None:
        replies = b"".join(packet(request, "x" * 40) for request in each(stream))
        for at in range(0, len(replies), 7):
            client.sendall(replies[at : at + 7])
            time.sleep(0.001)

    server.behaviours = [pieces]
    assert rpc.call_in_order(TWO, deadline=5) == [("x" * 40,)] * 2


def test_one_that_fails_does_not_stop_the_next(server: Server, rpc: BinRpc) -> None:
    def mixed(stream: bytes) -> bytes:
        empty, big, lie, last = each(stream)
        nested = encode_packet(REPLY, int.from_bytes(lie[6:10]), b"\x03" * 50)
        full = fault(big, "Internal error creating dest")
        return fault(empty, "No Destination Sets") + full + nested + packet(last, "Ok")

    server.behaviours = [sends(mixed), answer]
    *failed, last = rpc.call_in_order([*TWO, *TWO], deadline=5)
    assert [type(reply) for reply in failed] == [RpcFault, RpcTooBig, RpcMalformed]
    assert last == ("Ok",)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


DISORDER: dict[str, tuple[Callable[[list[bytes]], bytes], type[Exception]]] = {
    "the wrong way round": (lambda r: packet(r[1], "b") + packet(r[0], "a"), RpcMalformed),
    "the first one twice": (lambda r: packet(r[0], "a") * 2, RpcMalformed),
    "one too many": (lambda r: packet(r[0], "a") + packet(r[1], "b") * 2, RpcMalformed),
    "no binrpc behind the first": (lambda r: packet(r[0], "a") + b"HTTP/1.1 400", RpcMalformed),
    "the second one missing": (lambda r: packet(r[0], "a"), RpcTimeout),
    "half of the second one": (lambda r: packet(r[0], "a") + packet(r[1], "b")[:-1], RpcTimeout),
}


@pytest.mark.parametrize(("make", "error"), DISORDER.values(), ids=DISORDER.keys())
def test_replies_in_disorder(
    server: Server, rpc: BinRpc, make: Callable[[list[bytes]], bytes], error: type[Exception]
) -> None:
    server.behaviours = [sends(lambda stream: make(each(stream))), answer]
    with pytest.raises(error, match=r"^cannot (read the reply|read a reply|tell whether dispatcher\.reload)"):
        rpc.call_in_order(TWO, deadline=0.3 if error is RpcTimeout else 5)
    assert len(server.requests) == 1
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 2


def test_an_end_between_two_replies_leads_to_no_second_try(server: Server, rpc: BinRpc) -> None:
    def half(client: socket.socket, stream: bytes) -> None:
        client.sendall(packet(each(stream)[0], "listed"))
        client.shutdown(socket.SHUT_RDWR)

    server.behaviours = [half, answer]
    with pytest.raises(RpcTimeout, match=r"dispatcher\.reload was carried out: Kamailio closed"):
        rpc.call_in_order(TWO, deadline=5)
    assert len(server.requests) == 1


def test_nobody_there(path: Path, rpc: BinRpc) -> None:
    with pytest.raises(RpcUnreachable, match=f"cannot reach Kamailio at unix:{path}: No such file"):
        rpc.call("core.uptime", deadline=5)
    with pytest.raises(RpcUnreachable, match="too long"):
        connect("unix:/" + "x" * 200).call("core.uptime", deadline=5)
    socket.socket(socket.AF_UNIX).bind(str(path))
    with pytest.raises(RpcUnreachable, match="refused"):
        rpc.call("core.uptime", deadline=5)
    assert rpc.generation == 0


def test_a_listener_that_never_accepts(path: Path, rpc: BinRpc) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with pytest.raises(RpcTimeout):
            rpc.call("core.uptime", deadline=0.2)


def test_a_socket_that_is_not_ours_to_use_names_the_cure(server: Server) -> None:
    server.path.chmod(0)
    us = os.geteuid()
    try:
        os.seteuid(us or 54_321)  # root may use every socket
        with pytest.raises(RpcUnreachable, match="Permission denied: be root or the user that owns it"):
            BinRpc(Address(f"unix:{server.path}", socket.AF_UNIX, socket.SOCK_STREAM, str(server.path))).call(
                "core.uptime", deadline=1
            )
    finally:
        os.seteuid(us)
