"""The one GET: only its status counts, and whatever a peer does is one kind of error."""

import contextlib
import socket
import threading

import pytest

from consul_kam.adapters.http_get import status
from consul_kam.errors import Unanswered
from tests.lab.ports import free_port


class Server:
    """Says `reply` to each request; None: nothing, and keeps the connection."""

    def __init__(self, reply: bytes | None) -> None:
        self.reply, self.requests, self.kept = reply, list[bytes](), list[socket.socket]()
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/status"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            client, _ = self.socket.accept()
            with contextlib.suppress(OSError):
                self.requests.append(client.recv(65536))
                if self.reply is None:
                    self.kept.append(client)
                    continue
                client.sendall(self.reply)
            client.close()


@pytest.mark.parametrize("code", [200, 204, 404, 503])
def test_the_status_is_what_counts(code: int) -> None:
    server = Server(f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n\r\n".encode())
    assert status(server.url + "?a=b", 5.0) == code
    assert server.requests[0].startswith(b"GET /status?a=b HTTP/1.1\r\n")


def test_a_redirect_is_not_followed() -> None:
    assert status(Server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n").url, 5.0) == 302


def test_an_endless_page_is_not_read() -> None:
    assert status(Server(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx").url, 5.0) == 200


def test_no_path_is_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    server = Server(b"HTTP/1.1 200 OK\r\n\r\n")
    assert status(server.url.removesuffix("/status"), 5.0) == 200
    assert server.requests[0].startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (None, "no answer within 0.3 s"),
        (b"", "Remote end closed connection"),
        (b"SSH-2.0-x\r\n", "what came is no HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "what came is no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "what came is no HTTP"),
    ],
)
def test_what_is_no_answer_is_told(reply: bytes | None, said: str) -> None:
    server = Server(reply)
    with pytest.raises(Unanswered, match=f"cannot get {server.url}: ({said})"):
        status(server.url, 0.3 if reply is None else 5.0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/", "https://127.0.0.1:{port}/", "http://name.invalid/"])
def test_nobody_there_is_told(url: str) -> None:
    with pytest.raises(Unanswered, match="cannot get http"):
        status(url.format(port=free_port()), 5.0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://", "http://[::1/", "http://127.0.0.1:x/", ""])
def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(Unanswered, match="cannot get "):
        status(url, 1.0)
