"""Http against servers that lie, drip, stop and die, over real sockets; TLS with real certificates."""

import contextlib
import json
import re
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.jsonrpc_http import Http
from consul_kam.adapters.rpc import connect
from consul_kam.core.ports import Call
from consul_kam.errors import RpcFault, RpcMalformed, RpcTimeout, RpcTooBig, RpcUnreachable
from tests.lab.tls import Authority

Behaviour = Callable[[socket.socket, bytes], None]


class Server:
    """Accepts on loopback; per request does what the next behaviour says, the last one again and again."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.behaviours, self.requests, self.accepted = list[Behaviour](), list[bytes](), 0
        self.context = context
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self.context is not None:
                client = self.context.wrap_socket(client, server_side=True)
            with client:
                stream = b""
                while data := client.recv(65_536):
                    stream += data
                    while (request := whole(stream)) is not None:
                        stream = stream[len(request) :]
                        self.requests.append(request)
                        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
                        behaviour(client, request)


def whole(stream: bytes) -> bytes | None:
    head, gap, body = stream.partition(b"\r\n\r\n")
    if not gap:
        return None
    length = int(re.findall(rb"Content-Length: (\d+)", head)[0])
    return None if len(body) < length else stream[: len(head) + 4 + length]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.listener.close()


@pytest.fixture
def rpc(server: Server) -> Iterator[Http]:
    rpc = connect(f"http://127.0.0.1:{server.port}/RPC")
    assert isinstance(rpc, Http)
    yield rpc
    rpc.close()


def asked(request: bytes) -> dict[str, object]:
    found: dict[str, object] = json.loads(request.partition(b"\r\n\r\n")[2])
    return found


def response(body: bytes, status: str = "200 OK", length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def document(request: bytes, result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "result": result, "id": asked(request)["id"]}).encode()


def answer(client: socket.socket, request: bytes) -> None:
    client.sendall(response(document(request, "fine")))


def silent(client: socket.socket, request: bytes) -> None:
    pass


def closes(client: socket.socket, request: bytes) -> None:
    client.shutdown(socket.SHUT_RDWR)


def sends(data: bytes) -> Behaviour:
    return lambda client, _: client.sendall(data)


def test_a_connection_is_kept(server: Server, rpc: Http) -> None:
    server.behaviours = [answer]
    assert [rpc.call("core.uptime", deadline=5) for _ in range(3)] == [("fine",)] * 3
    assert (rpc.generation, server.accepted) == (1, 1)
    assert server.requests[0].startswith(b"POST /RPC HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"Authorization" not in server.requests[0]


def test_in_order_is_one_after_the_other(server: Server, rpc: Http) -> None:
    server.behaviours = [sends(response(b"what", "500 Server Error")), answer]
    calls: list[Call] = [("core.echo", ("0",)), ("core.echo", ("1",))]
    failed, fine = rpc.call_in_order(calls, deadline=5)
    assert isinstance(failed, RpcMalformed)
    assert fine == ("fine",)


def test_a_reply_in_pieces_and_chunks(server: Server, rpc: Http) -> None:
    def pieces(client: socket.socket, request: bytes) -> None:
        for byte in response(document(request, "in pieces")):
            client.sendall(bytes((byte,)))

    def chunks(client: socket.socket, request: bytes) -> None:
        body = document(request, "in chunks")
        data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:9], body[9:]))
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data + b"0\r\n\r\n")

    def to_the_end(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + document(request, "to the end"))
        client.shutdown(socket.SHUT_RDWR)

    server.behaviours = [pieces, chunks, to_the_end, answer]
    replies = [rpc.call("core.uptime", deadline=5) for _ in range(4)]
    assert replies == [("in pieces",), ("in chunks",), ("to the end",), ("fine",)]
    assert rpc.generation == 2


def test_a_fault_comes_with_its_code_as_the_status(server: Server, rpc: Http) -> None:
    def fault(status: str) -> Behaviour:
        def one(client: socket.socket, request: bytes) -> None:
            error = {"code": int(status[:3]), "message": "no"}
            body = json.dumps({"jsonrpc": "2.0", "error": error, "id": asked(request)["id"]}).encode()
            client.sendall(response(body, status))

        return one

    server.behaviours = [fault("500 no"), fault("404 no"), fault("401 no"), answer]
    for code in (500, 404, 401):
        with pytest.raises(RpcFault) as caught:
            rpc.call("dispatcher.reload", deadline=5)
        assert caught.value.code == code
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 1


REFUSED = {
    "401 Unauthorized": (RpcUnreachable, "rpc_password_file"),
    "403 Forbidden": (RpcUnreachable, "allow RPC"),
    "404 Not Found": (RpcUnreachable, r"event_route\[xhttp:request\]"),
    "301 Moved\r\nLocation: http://127.0.0.1:1/": (RpcMalformed, "no redirect"),
    "307 Moved\r\nLocation: https://example.com/": (RpcMalformed, "no redirect"),
    "502 Bad Gateway": (RpcMalformed, "502"),
    "200 OK": (RpcMalformed, "no JSON-RPC"),
}


@pytest.mark.parametrize("status", REFUSED)
def test_who_is_no_rpc(server: Server, rpc: Http, status: str) -> None:
    error, reason = REFUSED[status]
    server.behaviours = [sends(response(b"", status)), answer]
    with pytest.raises(error, match=rf"^cannot .*{reason}"):
        rpc.call("dispatcher.reload", deadline=5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


MALFORMED = {
    "no http": b"\xa1\x13 binrpc \r\n\r\n",
    "no status": b"HTTP/1.1 abc\r\n\r\n",
    "an endless line": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "no chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "another request's answer": response(b'{"jsonrpc":"2.0","result":{},"id":1}'),
    "no json": response(b"\xff\x00{"),
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nConnection: close\r\n\r\n{}",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_reply(server: Server, rpc: Http, data: bytes) -> None:
    def sends_and_ends(client: socket.socket, request: bytes) -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    server.behaviours = [sends_and_ends, answer]
    with pytest.raises(RpcMalformed, match=r"^cannot read"):
        rpc.call("core.uptime", deadline=5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_our_limit(server: Server, chunked: bool) -> None:
    rpc = connect(f"http://127.0.0.1:{server.port}/RPC")
    assert isinstance(rpc, Http)
    rpc._max_reply = 100_000
    endless = b"".join(b"4000\r\n" + b"x" * 0x4000 + b"\r\n" for _ in range(10))
    big = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + endless if chunked else response(b"", length=100_001)
    )
    server.behaviours = [sends(big), answer]
    with pytest.raises(RpcTooBig, match="over our limit"):
        rpc.call("dispatcher.list", deadline=5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


def test_a_request_that_is_too_long_is_not_sent(server: Server, rpc: Http) -> None:
    server.behaviours = [answer]
    with pytest.raises(RpcTooBig, match="not sent"):
        rpc.call("core.echo", "x" * 9000, deadline=5)
    assert server.requests == []


def test_a_long_reply_that_breaks_off_names_the_queue(server: Server, rpc: Http) -> None:
    def half(client: socket.socket, request: bytes) -> None:
        client.sendall(response(b"x" * 50_000, length=5_000_000))
        closes(client, request)

    server.behaviours = [half]
    with pytest.raises(RpcTooBig, match=r"broke off after 50000 of 5000000 bytes.*tcp_conn_wq_max"):
        rpc.call("dispatcher.list", deadline=5)


def test_a_short_reply_that_breaks_off_is_a_kamailio_that_ended(server: Server, rpc: Http) -> None:
    def half(client: socket.socket, request: bytes) -> None:
        client.sendall(response(b"x" * 50, length=100))
        closes(client, request)

    server.behaviours = [half]
    with pytest.raises(RpcTimeout, match="closed the connection"):
        rpc.call("dispatcher.list", deadline=5)


def test_a_reply_that_kamailio_could_not_send(server: Server, rpc: Http) -> None:
    """xhttp says nothing then: an answer to the request behind it tells."""
    server.behaviours = [silent, answer]
    with pytest.raises(RpcTooBig, match="-M 64"):
        rpc.call("dispatcher.list", deadline=20)
    first, *echoes = [asked(request)["method"] for request in server.requests]
    assert (first, set(echoes)) == ("dispatcher.list", {"core.uptime"})
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


def test_a_slow_reply_is_waited_for(server: Server, rpc: Http) -> None:
    """The answer to the harmless request behind it is not taken for the next one's."""
    held: list[bytes] = []

    def later(client: socket.socket, request: bytes) -> None:
        held.append(request)

    def both(client: socket.socket, request: bytes) -> None:
        client.sendall(response(document(held[0], "slow")))
        answer(client, request)

    server.behaviours = [later, both, answer]
    assert rpc.call("dispatcher.reload", deadline=20) == ("slow",)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 1


@pytest.mark.parametrize("drip", [b"", b"H"])
def test_a_server_that_stalls_or_drips(server: Server, rpc: Http, drip: bytes) -> None:
    ended = threading.Event()

    def drips(client: socket.socket, request: bytes) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while drip and not ended.wait(0.05):
            client.sendall(drip)

    server.behaviours = [drips]
    with pytest.raises(RpcTimeout, match=r"cannot tell whether dispatcher\.reload was carried out"):
        rpc.call("dispatcher.reload", deadline=0.4)
    ended.set()
    server.behaviours = [answer]
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert rpc.generation == 2


def test_a_silence_to_the_end_is_no_word_on_what_was_done(server: Server, rpc: Http) -> None:
    """The harmless requests, and that they go unanswered too, do not make it "cannot have been carried out"."""
    server.behaviours = [silent]
    with pytest.raises(RpcTimeout, match=r"cannot tell whether dispatcher\.reload was carried out"):
        rpc.call("dispatcher.reload", deadline=3.0)
    first, *echoes = [asked(request)["method"] for request in server.requests]
    assert (first, set(echoes)) == ("dispatcher.reload", {"core.uptime"})


def test_a_connection_that_was_closed_meanwhile_is_made_anew(server: Server, rpc: Http) -> None:
    done = threading.Event()

    def answers_and_leaves(client: socket.socket, request: bytes) -> None:
        answer(client, request)
        client.shutdown(socket.SHUT_WR)
        done.set()

    server.behaviours = [answers_and_leaves, answer]
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert done.wait(5)
    assert rpc.call("core.uptime", deadline=5) == ("fine",)
    assert (rpc.generation, len(server.requests)) == (2, 2)


def test_a_request_is_never_sent_twice(server: Server, rpc: Http) -> None:
    server.behaviours = [closes, answer]
    with pytest.raises(RpcTimeout, match="closed the connection"):
        rpc.call("dispatcher.reload", deadline=5)
    assert len(server.requests) == 1


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    with pytest.raises(RpcUnreachable, match="xhttp"):
        connect(f"http://127.0.0.1:{port}/RPC").call("core.uptime", deadline=5)


def test_no_proxy_comes_between(server: Server, rpc: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server.behaviours = [answer]
    assert rpc.call("core.uptime", deadline=5) == ("fine",)


def test_the_password_goes_in_the_header_alone(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("kam:pässword: 1\n")
    secret.chmod(0o600)
    rpc = connect(f"http://127.0.0.1:{server.port}/RPC", password_file=str(secret))
    server.behaviours = [answer, sends(response(b"", "401 Unauthorized"))]
    rpc.call("core.uptime", deadline=5)
    coded = b64encode("kam:pässword: 1".encode())
    assert b"\r\nAuthorization: Basic " + coded + b"\r\n" in server.requests[0]
    with pytest.raises(RpcUnreachable) as caught:
        rpc.call("core.uptime", deadline=5)
    for said in (str(caught.value), repr(caught.value.__context__), repr(vars(rpc)["_place"])):
        assert "pässword" not in said
        assert coded.decode() not in said


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextlib.contextmanager
def secured(authority: Authority, tmp_path: Path, name: str) -> Iterator[Server]:
    certificate, key = authority.issue(tmp_path, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = Server(context)
    server.behaviours = [answer]
    yield server
    server.listener.close()


def test_tls_keeps_its_connection(authority: Authority, tmp_path: Path) -> None:
    with secured(authority, tmp_path, "IP:127.0.0.1") as server:
        rpc = connect(f"https://127.0.0.1:{server.port}/RPC", ca_file=str(authority.certificate))
        assert [rpc.call("core.uptime", deadline=5) for _ in range(3)] == [("fine",)] * 3
        assert rpc.generation == 1
        rpc.close()


@pytest.mark.parametrize(
    ("name", "trusted"), [("IP:127.0.0.2", True), ("DNS:example.com", True), ("IP:127.0.0.1", False)]
)
def test_a_certificate_of_another_is_not_taken(authority: Authority, tmp_path: Path, name: str, trusted: bool) -> None:
    with secured(authority, tmp_path, name) as server:
        ca = authority if trusted else Authority(tmp_path / "other")
        rpc = connect(f"https://127.0.0.1:{server.port}/RPC", ca_file=str(ca.certificate))
        with pytest.raises(RpcUnreachable, match=r"not trusted.*rpc_ca_file"):
            rpc.call("core.uptime", deadline=5)
        with pytest.raises(RpcUnreachable, match="not trusted"):
            connect(f"https://127.0.0.1:{server.port}/RPC").call("core.uptime", deadline=5)
        assert server.requests == []


def test_who_speaks_no_tls(server: Server, authority: Authority) -> None:
    server.behaviours = [answer]
    rpc = connect(f"https://127.0.0.1:{server.port}/RPC", ca_file=str(authority.certificate))
    with pytest.raises(RpcUnreachable, match=r"^cannot reach Kamailio at https:"):
        rpc.call("core.uptime", deadline=1)


def test_a_handshake_that_never_ends_keeps_the_deadline(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        rpc = connect(f"https://127.0.0.1:{listener.getsockname()[1]}/RPC", ca_file=str(authority.certificate))
        with pytest.raises(RpcUnreachable):
            rpc.call("core.uptime", deadline=0.2)
