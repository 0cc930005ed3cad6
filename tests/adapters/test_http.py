"""The HTTP server over real sockets: what it serves, what it refuses, and clients that misbehave."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.adapters import http as web
from consul_kam.adapters import http_wire
from consul_kam.adapters.http import Answer, Server
from consul_kam.adapters.http_address import Address, CannotListen, address
from consul_kam.adapters.http_wire import Refused, Request, Response, refusal
from tests.lab.ports import free_port

HEAD = b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n"


def echo(request: Request, answer: Answer) -> None:
    answer(lambda: Response(200, f"{request.method} {request.path} {request.host}".encode()))


def late(request: Request) -> Response:
    return refusal(503, f"cannot answer {request.path}")


@contextmanager
def serving(
    handle: web.Handle = echo,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    deadline: float = 20.0,
    forms: bool = False,
) -> Iterator[int]:
    """The port."""
    server = Server(Address(host, 0), handle, names, deadline, late, forms)
    try:
        yield server.port
    finally:
        server.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def said(port: int, sent: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers, body of the answer to these very bytes; the server closes after it."""
    with connected(port) as client:
        client.sendall(sent)
        return answer(client)


def answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    whole = bytearray()
    while data := client.recv(65536):
        whole += data
    head, _, body = bytes(whole).partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in fields), body


def test_a_page_is_served_whole_and_the_connection_ends() -> None:
    with serving() as port:
        status, fields, body = said(port, HEAD)
    assert (status, body) == (200, b"GET /x localhost")
    assert fields["Content-Length"] == str(len(body))
    assert fields["Connection"] == "close"
    assert fields["Cache-Control"] == "no-store"


def test_an_ordinary_client_is_happy() -> None:
    with serving() as port:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(2):
            client.request("GET", "/livez?verbose=1")
            assert client.getresponse().read() == b"GET /livez 127.0.0.1"


def test_head_is_get_without_its_body() -> None:
    with serving() as port:
        got, asked = said(port, HEAD), said(port, HEAD.replace(b"GET", b"HEAD"))
    assert asked[2] == b""
    assert (asked[0], int(asked[1]["Content-Length"])) == (200, len(got[2]) + 1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /x HTTP/2.0\r\nHost: localhost\r\n\r\n", 505),
        (b"GET /x HTTP/1.1\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /x y HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: localhost\nEvil: 1\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 413),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (b"GET /" + b"x" * web.MAX_HEAD + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 200),
        (b"GET /x HTTP/1.0\r\n\r\n", 200),
        (b"GET http://localhost:9160/x?y HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n", 200),
        (b"GET http://elsewhere.example/x HTTP/1.1\r\nHost: localhost\r\n\r\n", 421),
    ],
)  # fmt: skip
def test_what_is_no_plain_request_is_refused_with_a_reason(sent: bytes, status: int) -> None:
    with serving() as port:
        got, fields, body = said(port, sent)
        assert got == status
        if status != 200:
            assert json.loads(body)["error"].startswith("cannot ")
        assert fields.get("Allow") == ("GET, HEAD" if status == 405 else None)
        assert said(port, HEAD)[0] == 200


@given(st.binary(max_size=300) | st.from_regex(rb"GET /\S* HTTP/1\.[01](\r\n[A-Za-z-]+: ?.*)*"))
def test_whatever_comes_is_a_request_or_refused(head: bytes) -> None:
    with contextlib.suppress(Refused):
        assert http_wire.request(head).method in ("GET", "HEAD")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:9160", 200), ("localhost.", 200), ("127.0.0.1:1", 200), ("10.1.2.3", 200),
        ("[::1]:9160", 200), ("node-1", 200), ("evil.example", 421), ("node-1.evil.example:9160", 421),
        ("127.0.0.1.evil.example", 421),
    ],
)  # fmt: skip
def test_on_loopback_only_addresses_and_our_own_names_are_served(host: str, status: int) -> None:
    with serving(names=("Node-1",)) as port:
        assert said(port, b"GET /x HTTP/1.1\r\nHost: %b\r\n\r\n" % host.encode())[0] == status


def test_elsewhere_any_name_is_served_since_ours_are_not_known() -> None:
    with serving(host="0.0.0.0") as port:
        assert said(port, b"GET /x HTTP/1.1\r\nHost: sbc-1.example\r\n\r\n")[0] == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:9160", Address("127.0.0.1", 9160)), ("[::1]:1", Address("::1", 1)),
        ("localhost:65535", Address("127.0.0.1", 65535)), ("0.0.0.0:80", Address("0.0.0.0", 80)),
    ],
)  # fmt: skip
def test_where_to_listen_is_read(text: str, expected: Address) -> None:
    assert address(text) == expected
    assert str(expected) == text.replace("localhost", "127.0.0.1")


@pytest.mark.parametrize(
    "text", ["node1:9160", "127.0.0.1:0", "127.0.0.1:65536", "::1:9160", "[127.0.0.1]:80", "[::1]", "[]:80", "1.2.3:80"]
)
def test_what_would_have_to_be_looked_up_or_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(CannotListen, match=r"^cannot listen at .*: expected an IP address or localhost, and a port"):
        address(text)


def test_it_listens_there_and_nowhere_else() -> None:
    with serving(host="::1") as port:
        client = http.client.HTTPConnection("::1", port, timeout=20)
        client.request("GET", "/x")
        assert client.getresponse().read() == b"GET /x ::1"
        with pytest.raises(ConnectionRefusedError):
            connected(port)
    with serving(host="::") as port, pytest.raises(ConnectionRefusedError):
        connected(port)


def test_a_taken_port_and_an_address_that_is_not_ours_are_named() -> None:
    with serving() as port, pytest.raises(CannotListen) as taken:
        Server(Address("127.0.0.1", port), echo, (), 1.0, late)
    assert str(taken.value).startswith(f"cannot listen at 127.0.0.1:{port}: another program does; set [http] listen")
    with pytest.raises(CannotListen, match=r"^cannot listen at \[2001:db8::1\]:1024: Cannot assign"):
        Server(Address("2001:db8::1", 1024), echo, (), 1.0, late)


def test_the_port_is_free_again_at_once() -> None:
    port = free_port()
    for _ in range(3):
        server = Server(Address("127.0.0.1", port), echo, (), 20.0, late)
        assert said(port, HEAD)[0] == 200
        server.close()
        with pytest.raises(ConnectionRefusedError):
            connected(port)


def test_an_answer_may_come_later_and_from_another_thread_while_others_are_served() -> None:
    waiting: list[Answer] = []

    def handle(request: Request, answer: Answer) -> None:
        if request.path == "/slow":
            waiting.append(answer)
        else:
            echo(request, answer)

    with serving(handle) as port, connected(port) as slow:
        slow.sendall(HEAD.replace(b"/x", b"/slow"))
        while not waiting:
            assert said(port, HEAD)[0] == 200
        pages = [lambda n=n: Response(200, b"%d" % n * 20_000_000) for n in (1, 2)]
        threading.Thread(target=lambda: [waiting[0](page) for page in pages]).start()
        assert answer(slow)[2] == b"1" * 20_000_000
        assert said(port, HEAD)[0] == 200


def test_no_answer_in_time_is_said_and_a_late_one_ignored() -> None:
    waiting: list[Answer] = []
    with serving(lambda request, answer: waiting.append(answer), deadline=0.05) as port:
        status, _, body = said(port, HEAD)
        assert (status, json.loads(body)) == (503, {"error": "cannot answer /x"})
        waiting[0](lambda: Response(200, b"late"))
        assert said(port, HEAD)[0] == 503


def test_clients_that_never_finish_keep_nobody_out_and_are_told_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_DEADLINE", 1.0)
    with serving() as port, contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(port)) for _ in range(web.MAX_CLIENTS + 10)]
        for number, client in enumerate(idle):
            with contextlib.suppress(OSError):
                client.sendall(b"GET /" + b"x" * number)
        assert said(port, HEAD)[0] == 200
        assert answer(idle[-1])[0] == 408


def test_a_head_that_comes_byte_by_byte_does_not_move_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "READ_DEADLINE", 0.3)
    with serving() as port, connected(port) as client:
        done = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not done.wait(0.02):
                    client.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert client.recv(12) == b"HTTP/1.1 408"
        finally:
            done.set()
            thread.join()


def test_a_big_response_arrives_whole() -> None:
    with serving(lambda request, answer: answer(lambda: Response(200, b"x" * 20_000_000))) as port:
        assert len(said(port, HEAD)[2]) == 20_000_000


def test_a_client_that_takes_nothing_holds_nobody_up_and_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WRITE_DEADLINE", 0.5)
    big = Response(200, b"x" * 20_000_000)

    def handle(request: Request, answer: Answer) -> None:
        answer(lambda: big if request.path == "/big" else Response(200, b"small"))

    with serving(handle) as port, connected(port) as slow:
        slow.sendall(HEAD.replace(b"/x", b"/big"))
        assert slow.recv(4) == b"HTTP"
        assert said(port, HEAD)[2] == b"small"
        threading.Event().wait(0.6)
        with contextlib.suppress(ConnectionResetError):
            assert len(answer(slow)[2]) < 20_000_000


def test_a_client_that_leaves_at_any_moment_is_forgotten() -> None:
    waiting: list[Answer] = []

    def handle(request: Request, answer: Answer) -> None:
        if request.path == "/slow":
            waiting.append(answer)
        else:
            echo(request, answer)

    with serving(handle) as port:
        for sent in (b"", b"GET", HEAD, HEAD.replace(b"/x", b"/slow")):
            with connected(port) as client:
                client.sendall(sent)
        while not waiting:
            said(port, HEAD)
        waiting[0](lambda: Response(200, b"x" * 1_000_000))
        assert said(port, HEAD)[0] == 200


def test_what_comes_after_the_request_does_not_destroy_the_response() -> None:
    with serving() as port:
        assert said(port, HEAD + b"x" * 100_000)[0] == 200


WITHOUT_DNS = """
import http.client, socket, sys
from consul_kam.adapters.http import Server
from consul_kam.adapters.http_address import address
from consul_kam.adapters.http_wire import Response
seen = []
sys.addaudithook(lambda event, args: seen.append((event, args)) if event.startswith("socket.get") else None)
server = Server(address(sys.argv[1]), lambda request, answer: answer(lambda: Response(200, b"x")), ("node",), 5.0, None)
with socket.socket() as client:
    client.connect(("127.0.0.1", server.port))
    client.sendall(b"GET / HTTP/1.1\\r\\nHost: evil.example\\r\\n\\r\\n")
    assert b" 421 " in client.recv(1000)
server.close()
print(seen)
"""


def test_nothing_is_looked_up() -> None:
    argv = [sys.executable, "-c", WITHOUT_DNS, f"localhost:{free_port()}"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "[]\n"


# ---- forms


def posted(body: bytes, *more: str, kind: str = http_wire.FORM, length: int | None = None) -> bytes:
    lines = ["POST / HTTP/1.1", "Host: localhost", f"Content-Type: {kind}"]
    lines += [f"Content-Length: {len(body) if length is None else length}"] * (length != -1)
    return "\r\n".join([*lines, *more, "", ""]).encode() + body


def told(request: Request, answer: Answer) -> None:
    answer(lambda: Response(200, json.dumps(dict(request.form)).encode()))


def test_a_form_is_taken_where_forms_are() -> None:
    with serving(told, forms=True) as port:
        status, _, body = said(port, posted(b"do=pause+a%3Ab&token=%C3%BC&empty=", kind=f"{http_wire.FORM}; charset=x"))
        assert (status, json.loads(body)) == (200, {"do": "pause a:b", "token": "ü", "empty": ""})
        assert said(port, HEAD)[0] == 200
    with serving(told) as port:
        status, fields, _ = said(port, posted(b"do=pause"))
        assert (status, fields["Allow"]) == (405, "GET, HEAD")


def test_a_form_may_come_in_pieces_and_what_comes_after_it_is_no_part_of_it() -> None:
    whole = posted(b"a=1&b=2")
    with serving(told, forms=True) as port:
        for at in range(1, len(whole)):
            with connected(port) as client:
                client.sendall(whole[:at])
                client.sendall(whole[at:])
                assert json.loads(answer(client)[2]) == {"a": "1", "b": "2"}
        assert json.loads(said(port, whole + b"&c=3")[2]) == {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (posted(b"a=1", kind="text/plain"), 415),
        (posted(b"a=1", "Content-Type: text/plain"), 415),
        (posted(b"a=1", length=-1), 411),
        (posted(b"a=1", "Content-Length: 3"), 411),
        (posted(b"", "Content-Length: +3", length=-1), 411),
        (posted(b"a=1", "Transfer-Encoding: chunked"), 413),
        (posted(b"a=" + b"x" * 4096), 413),
        (posted(b"", length=999_999_999), 413),
        (posted(b""), 400),
        (posted(b"a"), 400),
        (posted(b"a=1&a=2"), 400),
        (posted(b"a=%ff"), 400),
        (posted(b"a=\xff"), 400),
        (posted(b"&".join(b"a%d=1" % n for n in range(9))), 400),
        (posted(b"a=1").replace(b"localhost", b"evil.example"), 421),
        (posted(b"a=1").replace(b"POST", b"PUT"), 405),
    ],
)
def test_what_is_no_form_is_refused(sent: bytes, status: int) -> None:
    with serving(told, forms=True) as port:
        assert said(port, sent)[0] == status


def test_who_leaves_within_a_form_holds_up_nobody() -> None:
    with serving(told, forms=True) as port:
        with connected(port) as client:
            client.sendall(posted(b"a=1", length=9))
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        assert said(port, posted(b"a=1"))[0] == 200


@given(st.binary(max_size=200))
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    with contextlib.suppress(Refused):
        assert all(isinstance(value, str) for pair in http_wire.form(body).items() for value in pair)
