"""The control socket over real sockets: the protocol, the owner of the path, and clients that misbehave."""

import gc
import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consul_kam.adapters import control
from consul_kam.adapters.control import ControlTaken, ControlUnreachable, Reply, Server, ask
from consul_kam.errors import ConfigError


def echo(request: dict[str, object], reply: Reply) -> None:
    reply({"ok": True, "got": request})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "control.sock"


@contextmanager
def serving(path: Path, handle: control.Handle = echo) -> Iterator[Server]:
    server = Server(path, handle)
    try:
        yield server
    finally:
        server.close()


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(20)
    client.connect(str(path))
    return client


def flood(client: socket.socket) -> None:
    while True:
        client.sendall(b"x")


def answer(client: socket.socket) -> dict[str, object]:
    with client.makefile("rb") as file:
        return json.loads(file.readline())


def test_a_request_is_answered(path: Path) -> None:
    with serving(path):
        assert ask(path, {"do": "status"}, 5) == {"ok": True, "got": {"do": "status"}}


def test_only_the_owner_may_connect(path: Path) -> None:
    with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_refusal_of_the_handler_is_an_answer(path: Path) -> None:
    def refuse(request: dict[str, object], reply: Reply) -> None:
        raise ConfigError("cannot find dataset 'x'")

    with serving(path, refuse):
        assert ask(path, {"do": "diff"}, 5) == {"ok": False, "error": "cannot find dataset 'x'"}


def test_an_answer_may_come_later_and_from_another_thread_while_others_are_served(path: Path) -> None:
    waiting: list[Reply] = []

    def handle(request: dict[str, object], reply: Reply) -> None:
        if request["do"] == "apply":
            waiting.append(reply)
        else:
            reply({"ok": True})

    with serving(path, handle), connected(path) as slow:
        slow.sendall(b'{"do":"apply"}\n')
        while not waiting:
            assert ask(path, {"do": "status"}, 5) == {"ok": True}
        threading.Thread(target=lambda: [waiting[0]({"ok": True, "n": n}) for n in (1, 2)]).start()
        assert answer(slow) == {"ok": True, "n": 1}
        assert slow.recv(1) == b""


def test_a_big_answer_arrives_whole_and_once(path: Path) -> None:
    def handle(request: dict[str, object], reply: Reply) -> None:
        reply({"ok": True, "text": "x" * 5_000_000})
        reply({"ok": True, "text": "y"})

    with serving(path, handle):
        assert len(str(ask(path, {"do": "diff"}, 20)["text"])) == 5_000_000


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"\n", "cannot read the request: Expecting value"),
        (b"\xff\xfe\x00\n", "cannot read the request: "),
        (b"[1]\n", 'cannot read the request: expected an object with "do"'),
        (b'{"do":1}\n', 'cannot read the request: expected an object with "do"'),
        (b"[" * 60_000 + b"\n", "cannot read the request: "),
        (b'{"do":"x","dataset":["dispatcher"]}\n', 'cannot read the request: expected an object with "do", and'),
        (b"x" * control.MAX_REQUEST, "cannot read the request: over 65536 bytes"),
    ],
)
def test_garbage_is_answered_with_what_is_wrong(path: Path, sent: bytes, expected: str) -> None:
    with serving(path), connected(path) as client:
        client.sendall(sent)
        reply = answer(client)
        assert reply["ok"] is False
        assert str(reply["error"]).startswith(expected)
        assert ask(path, {"do": "status"}, 5)["ok"] is True


def test_a_slow_client_is_told_and_shut_out_and_blocks_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "READ_DEADLINE", 0.5)
    with serving(path), connected(path) as slow:
        slow.sendall(b'{"do":')
        assert ask(path, {"do": "status"}, 5)["ok"] is True
        assert answer(slow) == {"ok": False, "error": "cannot go on with the request: no whole line came in time"}


def test_a_handler_that_never_answers_is_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_DEADLINE", 0.05)
    with serving(path, lambda request, reply: None):
        assert ask(path, {"do": "x"}, 20)["error"] == (
            "cannot go on with the request: the engine gave no answer in time"
        )


def test_a_client_that_takes_no_answer_blocks_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "WRITE_DEADLINE", 0.05)
    big = {"ok": True, "text": "x" * 5_000_000}
    with serving(path, lambda request, reply: reply(big if request["do"] == "big" else {"ok": True})):
        deaf = connected(path)
        deaf.sendall(b'{"do":"big"}\n')
        deaf.recv(1)
        for _ in range(50):
            assert ask(path, {"do": "status"}, 5) == {"ok": True}
        with pytest.raises(ConnectionError):
            flood(deaf)
        deaf.close()


def test_more_clients_than_places_do_not_shut_others_out(path: Path) -> None:
    with serving(path):
        idle = [connected(path) for _ in range(control.MAX_CLIENTS * 3)]
        assert ask(path, {"do": "status"}, 20)["ok"] is True
        for client in idle:
            client.close()


def test_clients_that_leave_halfway_are_forgotten(path: Path) -> None:
    with serving(path):
        for _ in range(control.MAX_CLIENTS * 3):
            with connected(path) as client:
                client.sendall(b'{"do":')
        assert ask(path, {"do": "status"}, 20)["ok"] is True


def test_a_second_engine_is_refused_and_the_first_still_answers(path: Path) -> None:
    with serving(path):
        with pytest.raises(ControlTaken, match=r"cannot listen at .*: another engine does"):
            Server(path, echo)
        assert ask(path, {"do": "status"}, 5)["ok"] is True


def test_the_socket_of_a_killed_engine_is_replaced(path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from consul_kam.adapters.control import Server;"
        f"Server(Path({str(path)!r}), lambda request, reply: None); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False)
    assert ended.returncode == -9
    assert path.exists()
    with pytest.raises(ControlUnreachable, match=r"cannot reach an engine at .*Connection refused; start one"):
        ask(path, {"do": "status"}, 5)
    with serving(path):
        assert ask(path, {"do": "status"}, 5)["ok"] is True


def test_closing_takes_the_socket_away_and_frees_the_place(path: Path) -> None:
    with serving(path):
        pass
    assert not path.exists()
    with pytest.raises(ControlUnreachable, match="No such file or directory"):
        ask(path, {"do": "status"}, 5)
    with serving(path):
        assert ask(path, {"do": "status"}, 5)["ok"] is True


def test_a_client_waits_where_the_queue_of_the_listener_is_full(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen(0)
        with connected(path), pytest.raises(ControlUnreachable, match=r"none came within 0\.05 s"):
            ask(path, {"do": "status"}, 0.05)


def test_no_descriptor_is_left(path: Path) -> None:
    gc.collect()  # other tests' too
    before = len(os.listdir("/proc/self/fd"))
    with serving(path), connected(path):
        for _ in range(20):
            ask(path, {"do": "status"}, 5)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_path_too_long_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="choose a shorter"):
        Server(tmp_path / ("x" * 120) / "control.sock", echo)


@pytest.mark.parametrize(
    ("sent", "expected"), [(b"", "it is no JSON"), (b"[]", "it is no object"), (b"\xff", "no JSON")]
)
def test_a_bad_answer_is_an_error(tmp_path: Path, sent: bytes, expected: str) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def once() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(sent)

        thread = threading.Thread(target=once)
        thread.start()
        with pytest.raises(ControlUnreachable, match=expected):
            ask(path, {"do": "status"}, 5)
        thread.join()


def test_silence_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(ControlUnreachable, match=r"none came within 0\.05 s"):
            ask(path, {"do": "status"}, 0.05)
