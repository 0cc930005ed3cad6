"""sd_notify: messages as a service manager receives them."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.systemd import LONGEST, Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"{short}/notify" if request.param == "path" else f"@consul_kam-test-{os.getpid()}"
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.settimeout(20)
        yield listener, name


def test_the_manager_hears_each_word(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    notifier = Notifier(name, 3.0)
    notifier.status("waits for\n Consul")
    notifier.status("waits for Consul")
    notifier.ready()
    notifier.beat()
    notifier.stopping()
    notifier.status("x" * 1000)
    heard = [listener.recv(4096).decode() for _ in range(5)]
    assert heard == ["STATUS=waits for Consul", "READY=1", "WATCHDOG=1", "STOPPING=1", "STATUS=" + "x" * LONGEST]


def test_a_reload_says_when(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    Notifier(name, 0).reloading()
    first, second = listener.recv(4096).decode().split("\n")
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert int(second.partition("=")[2]) > 0


def test_without_a_watchdog_there_is_no_beat(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    notifier = Notifier(name, 0)
    notifier.beat()
    notifier.ready()
    assert listener.recv(4096) == b"READY=1"


@pytest.mark.parametrize(
    ("given", "watchdog"),
    [
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "2000000"}, 2.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, 2.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/n", "WATCHDOG_USEC": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_the_environment_says_whom_to_tell_and_no_child_sees_it(given: dict[str, str], watchdog: float) -> None:
    environment = {**given, "PATH": "/bin"}
    assert Notifier.from_environment(environment).watchdog == watchdog  # type: ignore[arg-type]
    assert environment == {"PATH": "/bin"}


def test_nobody_listens_and_nothing_happens(tmp_path: Path) -> None:
    for name in ("", str(tmp_path / "none")):
        Notifier(name, 1.0).ready()
