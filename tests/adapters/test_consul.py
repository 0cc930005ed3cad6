"""What an agent's answer may not do: take for ever, or all of the memory. What it says is in the integration tests."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consul_kam.adapters import consul
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_source import Source
from consul_kam.errors import ConsulError

ROUTER = Source("service", "router")
HEAD = b"HTTP/1.1 200 OK\r\nX-Consul-Results-Filtered-By-ACLs: true\r\n"


@contextmanager
def agent(*pieces: bytes, again: bool = False) -> Iterator[tuple[str, list[bytes]]]:
    """(its address, what it was asked): it sends these pieces, the last one `again` and again, and closes."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    answer(listener.accept()[0])

        def answer(client: socket.socket) -> None:
            with contextlib.suppress(OSError), client:
                asked.append(client.recv(65_536))
                for piece in pieces:
                    client.sendall(piece)
                while again:
                    client.sendall(pieces[-1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", asked
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    assert not thread.is_alive(), "somebody still reads an answer that never ends"


def said(body: bytes) -> bytes:
    return HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (said(b"[1,2,3]"), 3),
        (said(b"[1,2,3]").replace(b"X-Consul", b"X-Other"), None),
        (said(b"[1,2,3]").replace(b"200 OK", b"404 No"), 0),
        (said(b"[1,2,3]").replace(b"200 OK", b"403 No"), None),
        (said(b"{"), None),
        (said(b"5"), None),
        (said(b"[" * 2_000), None),
        (said(b"\xff"), None),
        (b"no HTTP at all\r\n\r\n", None),
        (b"", None),
    ],
)
def test_an_answer(answer: bytes, seen: int | None) -> None:
    with agent(answer) as (address, _):
        assert Consul(address, deadline=20.0).seen_of_filtered(ROUTER) == seen


def test_who_may_not_even_count_what_acls_hide_sees_none_of_it() -> None:
    answers = [said(b"[1]"), said(b"denied").replace(b"200 OK", b"403 No")]
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                with listener.accept()[0] as client:
                    client.recv(65_536)
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        assert Consul(f"127.0.0.1:{listener.getsockname()[1]}", deadline=20.0).seen_of_filtered(ROUTER) == 0
        thread.join(10)


@pytest.mark.parametrize("place", ["lists/sbc", "lists/sbc/"])
def test_a_prefix_is_asked_for_as_our_templates_do(place: str) -> None:
    """lists/sbc2 is another one, that ACLs may well hide."""
    with agent(said(b"[]").replace(b"X-Consul", b"X-Other")) as (address, asked):
        assert Consul(address, deadline=20.0).seen_of_filtered(Source("kv", place)) is None
        assert asked[0].startswith(b"GET /v1/kv/lists/sbc/?keys")


def test_a_redirect_is_not_followed() -> None:
    with agent(said(b"[1]")) as (other, asked):
        moved = b"HTTP/1.1 302 Found\r\nLocation: http://%s/\r\nContent-Length: 0\r\n\r\n" % other.encode()
        with agent(moved) as (address, _):
            assert Consul(address, deadline=20.0).seen_of_filtered(ROUTER) is None
        assert asked == []


@pytest.mark.parametrize(
    "start",
    [HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n", HEAD, b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"],
)
def test_an_answer_that_never_ends_is_none(start: bytes) -> None:
    with agent(start, b"5\r\nhello\r\n" * 1_000, again=True) as (address, _):
        assert Consul(address, deadline=0.05).seen_of_filtered(ROUTER) is None


@pytest.mark.parametrize("verb", ["get", "put"])
def test_whatever_is_asked_an_answer_has_to_end(verb: str) -> None:
    endless = agent(HEAD + b"\r\n", b"5\r\nhello\r\n" * 1_000, again=True)
    with (
        endless as (address, _),
        pytest.raises(ConsulError, match=r"cannot reach Consul at .*: no answer within 0\.05 s"),
    ):
        getattr(Consul(address, deadline=0.05), verb)("/v1/agent/self")


def test_an_answer_of_one_byte_at_a_time_is_given_up_and_one_thread_waits_for_it() -> None:
    """Each byte comes within the time that requests allows between two."""
    waits = threading.Event()

    def drip(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.sendall(HEAD)
            while not waits.wait(0.005):
                client.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = Consul(f"127.0.0.1:{listener.getsockname()[1]}", deadline=0.1)
        threading.Thread(target=lambda: drip(listener.accept()[0]), daemon=True).start()
        assert client.seen_of_filtered(ROUTER) is None
        before = threading.active_count()
        assert [client.seen_of_filtered(ROUTER) for _ in range(20)] == [None] * 20
        assert threading.active_count() <= before
        waits.set()


def test_an_answer_that_is_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consul, "LARGEST", 1_000_000)
    with agent(said(b"[" + b"1," * 1_000_000 + b"1]")) as (address, _):
        assert Consul(address, deadline=20.0).seen_of_filtered(ROUTER) is None
        with pytest.raises(ConsulError, match="answers more than 0 MiB"):
            Consul(address, deadline=20.0).get("/v1/agent/self")


@pytest.mark.parametrize("content", [b"two\nlines", b"caf\xc3\xa9", b"\x00"])
def test_what_is_no_token_is_not_sent_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    """requests quotes a header that it refuses."""
    file = tmp_path / "token"
    file.write_bytes(content)
    with agent(said(b"[]")) as (address, asked):
        with pytest.raises(ConsulError) as caught:
            Consul(address, str(file), deadline=20.0).get("/v1/x")
        assert str(caught.value) == f"cannot use the token file {file}: expected one line of printable ASCII"
        assert asked == []


def test_a_token_of_the_environment_is_not_quoted_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "two\nlines")
    with agent(said(b"[]")) as (address, _), pytest.raises(ConsulError, match=r"^cannot use \$CONSUL_HTTP_TOKEN: exp"):
        Consul(address, deadline=20.0).get("/v1/x")


def test_each_request_has_the_token_of_the_moment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with agent(said(b"[]")) as (address, asked):
        consul = Consul(address, str(file), deadline=20.0)
        with pytest.raises(ConsulError, match="cannot read the token file"):
            consul.get("/v1/x")
        prints = []
        for token in ("one\n", "two", "two", "\n"):
            file.write_text(token)
            consul.get("/v1/x")
            prints.append(consul.token_print)
        file.write_text("")
        with pytest.raises(ConsulError, match="it is empty"):
            consul.get("/v1/x")
        heads = [line.partition(b": ")[2] for each in asked for line in each.splitlines() if b"Token" in line]
        assert heads == [b"one", b"two", b"two"]
        assert prints[1] == prints[2] != prints[0] != ""
        assert prints[3] == "", "as the shipped units have it where there is none"
        assert "one" not in prints[0]
