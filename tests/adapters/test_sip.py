"""OPTIONS on the wire, against a server that a test scripts: what is sent, when again, and what counts as an answer."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable

import pytest

from consul_kam.adapters.sip import options
from tests.lab.ports import free_port

Script = Callable[[bytes, int], list[bytes]]
"""A request and how many came before it -> what is sent back."""


def reply(request: bytes, status: str, **changes: str) -> bytes:
    """A response to `request`, as RFC 3261, 8.2.6 makes it; `changes`: other values of its headers."""
    head = request.decode().split("\r\n\r\n")[0].split("\r\n")[1:]
    kept = [line for line in head if line.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")]
    lines = [f"{line.split(':')[0]}: {changes.get(line.split(':')[0], line.split(': ', 1)[1])}" for line in kept]
    return "\r\n".join([f"SIP/2.0 {status}", *lines, "Content-Length: 0", "", ""]).encode()


class Server:
    """Over UDP, or over TCP with `stream`; `requests` as they came. `hold`: it leaves it to the client to hang up."""

    def __init__(self, script: Script, stream: bool = False, host: str = "127.0.0.1", hold: bool = False) -> None:
        self.script, self.requests, self.hold = script, list[bytes](), hold
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        port = self.socket.getsockname()[1]
        self.endpoint = f"{'tcp' if stream else 'udp'}:{f'[{host}]' if ':' in host else host}:{port}"
        if stream:
            self.socket.listen()
        threading.Thread(target=self.stream if stream else self.datagrams, daemon=True).start()

    def datagrams(self) -> None:
        while True:
            request, peer = self.socket.recvfrom(65535)
            self.requests.append(request)
            for data in self.script(request, len(self.requests) - 1):
                self.socket.sendto(data, peer)

    def stream(self) -> None:
        while True:
            client, _ = self.socket.accept()
            with client, contextlib.suppress(OSError):
                request = client.recv(65535)
                self.requests.append(request)
                for data in self.script(request, len(self.requests) - 1):
                    client.sendall(data)
                    time.sleep(0.02)
                while self.hold and client.recv(65535):
                    pass


def ok(request: bytes, before: int) -> list[bytes]:
    return [reply(request, "200 OK")]


def ask(server: Server, timeout: float = 5.0) -> tuple[int, str]:
    return options([server.endpoint], timeout)[server.endpoint]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", ["200 OK", "404 Not Found", "503 Service Unavailable", "603 Decline"])
def test_any_final_response_is_an_answer(stream: bool, status: str) -> None:
    assert ask(Server(lambda request, _: [reply(request, status)], stream)) == (int(status[:3]), "")


def headers(request: bytes) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in request.decode().split("\r\n\r\n")[0].split("\r\n")[1:])


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_sent_is_a_request_of_rfc_3261(stream: bool) -> None:
    server = Server(ok, stream)
    ask(server)
    ask(server)
    first, second = map(headers, server.requests)
    line = server.requests[0].split(b"\r\n")[0].decode()
    hostport = server.endpoint.split(":", 1)[1]
    assert line == f"OPTIONS sip:{hostport}{';transport=tcp' if stream else ''} SIP/2.0"
    assert re.fullmatch(
        rf"SIP/2\.0/{'TCP' if stream else 'UDP'} 127\.0\.0\.1:\d+;branch=z9hG4bK\w+;rport", first["Via"]
    )
    assert first["To"] == f"<sip:{hostport}>"
    assert re.fullmatch(r"<sip:consul_kam@127\.0\.0\.1>;tag=\w+", first["From"])
    assert (first["CSeq"], first["Max-Forwards"], first["Content-Length"]) == ("1 OPTIONS", "70", "0")
    for name in ("Via", "Call-ID", "From"):
        assert first[name] != second[name]


def test_an_ipv6_address_stands_in_brackets() -> None:
    server = Server(ok, host="::1")
    assert ask(server) == (200, "")
    assert server.requests[0].startswith(f"OPTIONS sip:{server.endpoint[4:]} SIP/2.0".encode())
    assert headers(server.requests[0])["Via"].startswith("SIP/2.0/UDP [::1]:")


def test_over_udp_it_is_sent_again_until_an_answer_comes() -> None:
    server = Server(lambda request, before: [reply(request, "200 OK")] if before == 2 else [])
    assert ask(server, 20.0) == (200, "")
    assert len(server.requests) >= 3
    assert len(set(server.requests)) == 1


def test_silence_is_none() -> None:
    assert ask(Server(lambda request, _: []), 0.2) == (0, "no final response within 0.2 s")
    assert ask(Server(lambda request, _: [b"SIP/2.0 200 OK"], stream=True), 0.2)[0] == 0


def test_a_provisional_response_is_no_answer_but_the_final_one_after_it_is() -> None:
    trying = Server(lambda request, _: [reply(request, "100 Trying")])
    assert ask(trying, 1.9)[0] == 0
    assert len(trying.requests) <= 2  # the third would be due after 1.5 s, and is now after 4.5
    both = Server(lambda request, _: [reply(request, "100 Trying"), reply(request, "200 OK")])
    assert ask(both) == (200, "")
    together = Server(lambda request, _: [reply(request, "100 Trying") + reply(request, "404 No")], stream=True)
    assert ask(together) == (404, "")


@pytest.mark.parametrize(
    "other",
    [
        lambda request: reply(request, "200 OK", Via="SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKother"),
        lambda request: reply(request, "200 OK", CSeq="1 INVITE"),
        lambda request: b"\x00\xff",
        lambda request: request,
        lambda request: reply(request, "999 What"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_only_a_response_to_this_request_counts(other: Callable[[bytes], bytes], stream: bool) -> None:
    assert ask(Server(lambda request, _: [other(request)], stream), 0.3)[0] == 0
    after_it = Server(lambda request, _: [other(request) + b"\r\n\r\n" * stream, reply(request, "200 OK")], stream)
    assert ask(after_it) == (200, "")


def test_a_response_over_tcp_may_come_in_pieces() -> None:
    def pieces(request: bytes, before: int) -> list[bytes]:
        whole = reply(request, "200 OK")
        return [whole[:5], whole[5:100], whole[100:]]

    assert ask(Server(pieces, stream=True)) == (200, "")


def test_a_connection_that_ends_is_no_answer() -> None:
    assert ask(Server(lambda request, _: [], stream=True)) == (0, "it ended the connection without a final response")


def test_a_peer_that_talks_for_ever_is_left() -> None:
    said = ask(Server(lambda request, _: [b"x" * 200_000], stream=True, hold=True))
    assert said == (0, "it sent much and no final response")


@pytest.mark.parametrize("kind", ["udp", "tcp"])
def test_a_port_without_anybody_says_so_at_once(kind: str) -> None:
    endpoint = f"{kind}:127.0.0.1:{free_port()}"
    assert options([endpoint], 30.0) == {endpoint: (0, "cannot reach it: Connection refused")}


def test_a_name_that_does_not_resolve_is_told() -> None:
    endpoint = "udp:name.invalid:5060"
    assert options([endpoint], 1.0)[endpoint].error.startswith("cannot reach it: ")


def test_several_are_asked_at_the_same_time() -> None:
    silent, good, stream = Server(lambda request, _: []), Server(ok), Server(ok, stream=True)
    assert options([silent.endpoint, good.endpoint, stream.endpoint], 2.0) == {
        silent.endpoint: (0, "no final response within 2 s"),
        good.endpoint: (200, ""),
        stream.endpoint: (200, ""),
    }
