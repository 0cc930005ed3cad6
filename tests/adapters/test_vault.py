"""What an answer may not do: take for ever, all of the memory, or the token elsewhere. What Vault itself answers is in
the integration tests.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from consul_kam.adapters import vault
from consul_kam.adapters.vault import How, Vault
from consul_kam.errors import VaultAway, VaultError, VaultRefused


@contextmanager
def server(
    *pieces: bytes, again: bool = False, every: float = 0.0, then: bytes = b""
) -> Iterator[tuple[str, list[bytes]]]:
    """(its address, what it was asked): it sends each who connects these pieces, `every` s, the last one `again` and
    again, and closes. `then`: what all but the first get instead.
    """
    asked: list[bytes] = []
    ended = threading.Event()
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    told = (then,) if then and len(threads) > 1 else pieces
                    begin(answer, listener.accept()[0], told)

        def answer(client: socket.socket, told: Sequence[bytes]) -> None:
            with contextlib.suppress(OSError), client:
                asked.append(client.recv(65_536))
                for piece in told:
                    client.sendall(piece)
                    ended.wait(every)
                while again and not ended.wait(every):
                    client.sendall(told[-1])

        def begin(what: Callable[..., None], *arguments: object) -> None:
            threads.append(threading.Thread(target=what, args=arguments, daemon=True))
            threads[-1].start()

        begin(serve)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", asked
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)
    assert not [each for each in threads if each.is_alive()], "somebody still reads an answer that never ends"


def said(body: object, status: bytes = b"200 OK", more: bytes = b"") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nConnection: close\r\n%b" % (status, more)
    return head + b"Content-Length: %d\r\n\r\n" % len(data) + data


def test_what_is_given() -> None:
    answer = {"data": {"a": 1}, "lease_id": "x/1", "lease_duration": 9, "renewable": True, "auth": None}
    with server(said(answer)) as (address, asked):
        given = Vault(address, namespace="ns").give("database/creds/k", "canary")
    assert given == ({"a": 1}, 9.0, True, "x/1")
    assert asked[0].startswith(b"GET /v1/database/creds/k HTTP/1.1\r\n")
    assert b"\r\nX-Vault-Token: canary\r\n" in asked[0]
    assert b"\r\nX-Vault-Namespace: ns\r\n" in asked[0]
    with server(said({})) as (address, asked):
        assert Vault(address).give("a/b", "", {"x": 1}) == (None, 0.0, False, "")
    assert asked[0].startswith(b"PUT /v1/a/b ")
    assert b"X-Vault-Token" not in asked[0]


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (
            said({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}, b"403 No"),
            VaultRefused,
            r"403 1 error occurred: \* permission denied",
        ),
        (said({"errors": []}, b"404 No"), VaultRefused, "cannot read a/b at .*: 404 there is nothing"),
        (said({"errors": ["x"]}, b"400 No"), VaultRefused, "400 x"),
        (said({"errors": ["pq: refused"]}, b"500 No"), VaultRefused, "500 pq: refused"),
        (said({"errors": ["x" * 5000]}, b"400 No"), VaultRefused, "400 x{300}$"),
        (said({"errors": ["Vault is sealed"]}, b"503 No"), VaultAway, "cannot use Vault at .*: 503 Vault is sealed"),
        (said({"errors": ["Vault is sealed"]}, b"500 No"), VaultAway, "500 Vault is sealed"),
        (said(b"<html>canary", b"502 No"), VaultAway, "cannot use Vault at .*: 502$"),
        (said({}, b"429 No"), VaultAway, "429"),
        (said({}, b"501 No"), VaultAway, "501"),
        (said({}, b"418 No"), VaultRefused, "an error"),
        (said(b"no JSON: canary"), VaultError, "200, and no JSON"),
        (said(b"[1]"), VaultError, "cannot read a/b at .*: .*no JSON|another shape"),
        (said({"lease_duration": "canary"}), VaultError, "another shape"),
        (said({"lease_duration": 10**400}), VaultError, "another shape"),
        (said(b'{"lease_duration": NaN}'), VaultError, "another shape"),
        (said({"lease_duration": -1}), VaultError, "another shape"),
        (said([1], b"403 No"), VaultAway, "cannot understand Vault at .*: its answer has another shape"),
        (said({"errors": [1]}, b"403 No"), VaultAway, "cannot understand Vault at "),
        (said({"errors": {"canary": 1}}, b"403 No"), VaultRefused, "cannot read a/b at .*: 403$"),
        (said(b"[" * 100_000), VaultAway, "cannot understand Vault at "),
        (b"no HTTP at all\r\n\r\n", VaultAway, "cannot reach Vault at "),
        (b"", VaultAway, "cannot reach Vault at "),
    ],
)
def test_an_answer_that_is_none(answer: bytes, kind: type[VaultError], says: str) -> None:
    with server(answer) as (address, _), pytest.raises(kind, match=says) as raised:
        Vault(address).give("a/b", "canary-token")
    assert type(raised.value) is kind
    assert "canary" not in str(raised.value)


def test_a_token_goes_nowhere_else() -> None:
    with server(said({"data": 1})) as (elsewhere, caught):
        sent = said(b"", b"307 Go", f"Location: {elsewhere}/v1/a/b\r\n".encode())
        with server(sent) as (address, _), pytest.raises(VaultAway, match="307 it sends us elsewhere"):
            Vault(address).give("a/b", "canary")
    assert caught == []


def test_an_answer_is_bounded_in_bytes_and_in_time() -> None:
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    with server(head, b"x" * 2**20, again=True) as (address, _), pytest.raises(VaultAway, match="more than 4 MiB"):
        Vault(address).give("a/b", "t")
    with server(head, b"x", again=True, every=0.05) as (address, _), pytest.raises(VaultAway, match="no answer within"):
        Vault(address, deadline=0.5).give("a/b", "t")


DRIPS = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ", *[b"x"] * 400, b"\r\n\r\n{}"]
"""A head that is whole after 20 s, by 0.05 s each: requests' timeout is from byte to byte."""


def test_a_head_that_never_ends_holds_up_nobody() -> None:
    with server(*DRIPS, every=0.05) as (address, asked):
        client = Vault(address, deadline=1.0)
        for _ in range(vault.MOST_STUCK):
            with pytest.raises(VaultAway, match="no answer within 2 s"):
                client.give("a/b", "t")
        with pytest.raises(VaultAway, match="3 answers do not end"):
            client.give("a/b", "t")
    assert len(asked) == vault.MOST_STUCK


def test_one_connection_that_drips_is_not_waited_for() -> None:
    with server(*DRIPS, every=0.05, then=said({"data": 1})) as (address, asked):
        client = Vault(address, deadline=1.0)
        with pytest.raises(VaultAway, match="no answer within 2 s"):
            client.give("a/b", "first")
        assert client.give("a/b", "second").data == 1
    assert [b"first" in each for each in asked] == [True, False]


def test_a_token_that_no_header_takes_is_not_quoted() -> None:
    with pytest.raises(VaultAway, match="the token cannot stand in a header") as raised:
        Vault("http://127.0.0.1:1").give("a/b", "canary\n")
    assert "canary" not in str(raised.value)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(VaultAway, match=f"cannot reach Vault at http://127.0.0.1:{port}: Connection refused"):
        Vault(f"http://127.0.0.1:{port}").give("a/b", "t")


@pytest.mark.parametrize(
    "answer",
    [{}, {"auth": None}, {"auth": {"client_token": ""}}, {"auth": {"client_token": 5, "lease_duration": 1}},
     {"auth": {"client_token": "canary", "lease_duration": "x", "renewable": True}},
     *({"auth": {"client_token": token, "lease_duration": 60, "renewable": True}}
       for token in ("canary\n", " canary", "canary\r\nX-A: b", "canary\u00e9", "canary\ud800"))],
)  # fmt: skip
def test_a_login_of_another_shape(answer: object, tmp_path: Path) -> None:
    (tmp_path / "role").write_text("r")
    (tmp_path / "role").chmod(0o600)
    how = How("approle", "approle", role_id_file=str(tmp_path / "role"))
    with (
        server(said(answer)) as (address, _),
        pytest.raises(VaultError, match="cannot log in to auth/approle: ") as raised,
    ):
        Vault(address).log_in(how)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {"ttl": None}}, {"data": {"ttl": "x"}}])
def test_a_token_of_another_shape(answer: object, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary")
    (tmp_path / "token").chmod(0o600)
    how = How("token", "token", token_file=str(tmp_path / "token"))
    with server(said(answer)) as (address, _), pytest.raises(VaultError, match="cannot use the token: "):
        Vault(address).log_in(how)


def test_a_token_in_its_last_second_is_not_one_without_end(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "token").chmod(0o600)
    how = How("token", "token", token_file=str(tmp_path / "token"))
    for expires, least in (("2026-01-01T00:00:00Z", 0.001), (None, 0)):
        with server(said({"data": {"ttl": 0, "expire_time": expires, "accessor": "a"}})) as (address, _):
            assert Vault(address).log_in(how) == ("t", "a", least, False)
    assert vault.token_of(how) == "t"
    assert vault.token_of(How("approle", "approle")) == ""
