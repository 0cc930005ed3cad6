"""The NG ping on the wire, and bencode that is cut, wrong or hostile."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from consul_kam.adapters.ng import Ben, decode, ping, sessions
from consul_kam.errors import Unanswered
from tests.lab.ports import free_port

Script = Callable[[bytes, int], list[bytes]]


class Server:
    """As RTPEngine's NG port: gets (cookie, how many came before), gives what is sent back."""

    def __init__(self, script: Script, stream: bool = False) -> None:
        self.script, self.requests = script, list[bytes]()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.endpoint = f"{'tcp' if stream else 'udp'}:127.0.0.1:{self.socket.getsockname()[1]}"
        if stream:
            self.socket.listen()
        threading.Thread(target=self.stream if stream else self.datagrams, daemon=True).start()

    def answer(self, request: bytes) -> list[bytes]:
        self.requests.append(request)
        return self.script(request.split(b" ")[0], len(self.requests) - 1)

    def datagrams(self) -> None:
        while True:
            request, peer = self.socket.recvfrom(65535)
            for data in self.answer(request):
                self.socket.sendto(data, peer)

    def stream(self) -> None:
        while True:
            client, _ = self.socket.accept()
            with client, contextlib.suppress(OSError):
                for data in self.answer(client.recv(65535)):
                    client.sendall(data)
                    time.sleep(0.02)


PONG = b" d6:result4:ponge"


@pytest.mark.parametrize("stream", [False, True])
def test_a_ping_carries_a_cookie_of_its_own(stream: bool) -> None:
    server = Server(lambda cookie, _: [cookie + PONG], stream)
    assert [ping(server.endpoint, 5.0) for _ in range(2)] == ["pong", "pong"]
    cookies = {request.split(b" ", 1)[0] for request in server.requests}
    assert len(cookies) == 2
    assert {request.split(b" ", 1)[1] for request in server.requests} == {b"d7:command4:pinge"}


def test_over_udp_it_is_sent_again_with_the_same_cookie() -> None:
    server = Server(lambda cookie, before: [cookie + PONG] if before == 2 else [])
    assert ping(server.endpoint, 20.0) == "pong"
    assert len(server.requests) >= 3
    assert len(set(server.requests)) == 1


def test_another_ones_reply_is_not_ours() -> None:
    assert ping(Server(lambda cookie, _: [b"other d6:result5:errore", cookie + PONG]).endpoint, 5.0) == "pong"


def test_a_reply_over_tcp_may_come_in_pieces() -> None:
    server = Server(lambda cookie, _: [cookie[:3], cookie[3:] + PONG[:9], PONG[9:]], stream=True)
    assert ping(server.endpoint, 5.0) == "pong"


def test_what_else_it_says_is_shown() -> None:
    assert ping(Server(lambda cookie, _: [cookie + b" d6:result5:errore"]).endpoint, 5.0) == "error"
    assert ping(Server(lambda cookie, _: [cookie + b" d6:resulti5ee"]).endpoint, 5.0) == "no result in {b'result': 5}"


@pytest.mark.parametrize("stream", [False, True])
def test_silence_is_told(stream: bool) -> None:
    script: Script = lambda cookie, _: [cookie + b" d6:res"] * stream  # noqa: E731
    server = Server(script, stream=False) if not stream else Server(lambda c, _: [c + b" d6:res", *[b""] * 100], True)
    with pytest.raises(Unanswered, match=f"cannot ping {server.endpoint}: no answer within 0.4 s"):
        ping(server.endpoint, 0.4)


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_port_without_anybody_says_so(kind: str) -> None:
    with pytest.raises(Unanswered, match="Connection refused"):
        ping(f"{kind}:127.0.0.1:{free_port()}", 5.0)


@pytest.mark.parametrize("body", [b"", b"d", b"4:pong", b"d6:result4:pongex", b"i5e", b"d6:result", b"x" * 100])
def test_what_is_no_reply_is_told(body: bytes) -> None:
    server = Server(lambda cookie, _: [cookie + b" " + body])
    with pytest.raises(Unanswered, match="what came is no reply"):
        ping(server.endpoint, 5.0)


@pytest.mark.parametrize(
    "script",
    [
        lambda cookie, _: [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        lambda cookie, _: [b"other" + PONG],
        lambda cookie, _: [cookie + b" i5e"],
        lambda cookie, _: [],
        lambda cookie, _: [cookie + b" d60000:", b"x" * 70_000],
    ],
)
def test_what_is_no_reply_over_tcp_is_told(script: Script) -> None:
    with pytest.raises(Unanswered, match=r"what came is no reply|Connection reset|Broken pipe"):
        ping(Server(script, stream=True).endpoint, 5.0)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"i-5e", -5),
        (b"3:a:b", b"a:b"),
        (b"0:", b""),
        (b"le", []),
        (b"li1e1:xe", [1, b"x"]),
        (b"de", {}),
        (b"d1:ad1:bli2eeee", {b"a": {b"b": [2]}}),
    ],
)
def test_bencode_is_decoded(data: bytes, value: Ben) -> None:
    assert decode(data) == (value, len(data))


@pytest.mark.parametrize("data", [b"d1:a", b"5:abc", b"i5", b"l", b"12", b"d", b""])
def test_what_is_cut_may_still_come(data: bytes) -> None:
    with pytest.raises(IndexError):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"x:",
        b"i1x2e",
        b"-1:a",
        b"99999999:a",
        b"di1ei2ee",
        b"d1:ae",
        b"l" * 50 + b"e" * 50,
        b"1" * 30,
        b"i" + b"1" * 30,
    ],
)
def test_what_is_wrong_is_never_taken(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        decode(data)


# ---- counting sessions

COUNTED = (
    b" d10:statisticsd17:currentstatisticsd11:sessionsowni2e15:sessionsforeigni1ee"
    b"15:totalstatisticsd15:managedsessionsi40eee6:result2:oke"
)


def test_its_own_sessions_and_all_that_it_had() -> None:
    server = Server(lambda cookie, _: [cookie + COUNTED])
    assert sessions(server.endpoint, 5.0) == (2, 42)
    assert server.requests[0].split(b" ", 1)[1] == b"d7:command10:statisticse"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (b" d6:result5:errore", "no statistics in its reply"),
        (COUNTED.replace(b"sessionsowni2e", b"sessionsown1:2"), "no number sessionsown in its reply"),
        (COUNTED.replace(b"15:managedsessions", b"15:managedsessionz"), "no number managedsessions in its reply"),
    ],
)
def test_what_cannot_be_counted_is_said(reply: bytes, said: str) -> None:
    server = Server(lambda cookie, _: [cookie + reply])
    with pytest.raises(Unanswered, match=f"cannot count the sessions of {server.endpoint}: {said}"):
        sessions(server.endpoint, 5.0)


def test_nobody_there_to_count() -> None:
    with pytest.raises(Unanswered, match="cannot count the sessions of udp:"):
        sessions(f"udp:127.0.0.1:{free_port()}", 0.5)
