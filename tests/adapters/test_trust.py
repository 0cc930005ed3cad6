"""Places that another user of the host made or may change, tried as that user; who may speak on a control socket."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters import trust
from consul_kam.adapters.control import ControlUnreachable, Reply, Server, ask
from consul_kam.errors import ConfigError
from tests.lab import stranger


@pytest.fixture
def place() -> Iterator[Path]:
    with stranger.open_place() as found:
        yield found


@pytest.fixture
def sticky(place: Path) -> Path:
    """As /tmp."""
    found = place / "sticky"
    found.mkdir()
    found.chmod(0o1777)
    return found


def refused(directory: Path) -> str:
    with pytest.raises(ConfigError) as refusal:
        trust.refuse_foreign_state(directory)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_directory_of_ours_in_tmp_is_fine(sticky: Path) -> None:
    trust.make_directory(sticky / "a" / "state", 0o700)
    trust.refuse_foreign_state(sticky / "a" / "state")
    (sticky / "link").symlink_to(sticky / "a")
    trust.refuse_foreign_state(sticky / "link" / "state")


def test_one_that_somebody_made_before_us(sticky: Path) -> None:
    stranger.does("os.mkdir(given, 0o755)", str(sticky / "state"))
    assert f"it belongs to user id {stranger.UID}" in refused(sticky / "state")
    with pytest.raises(ConfigError, match=f"user id {stranger.UID} owns .*/state and may swap it"):
        trust.refuse_open("the staging directory", sticky / "state")


def test_one_below_a_directory_that_somebody_made(sticky: Path) -> None:
    stranger.does("os.mkdir(given, 0o755)", str(sticky / "above"))
    (sticky / "above" / "state").mkdir()
    assert f"user id {stranger.UID} owns {sticky}/above and may swap it" in refused(sticky / "above" / "state")


def test_one_in_the_home_of_somebody_else(place: Path) -> None:
    (place / "home" / "state").mkdir(parents=True)
    stranger.by_root("chown", str(stranger.UID), place / "home")
    assert f"user id {stranger.UID} owns {place}/home and may swap it" in refused(place / "home" / "state")


def test_one_behind_a_symlink_that_somebody_made(place: Path, sticky: Path) -> None:
    (place / "real").mkdir()
    stranger.does("os.symlink(*given)", [str(place / "real"), str(sticky / "state")])
    assert f"user id {stranger.UID} owns {sticky}/state and may swap it" in refused(sticky / "state")


@pytest.mark.parametrize("mode", [0o777, 0o1777])
def test_one_in_which_everybody_may_write(place: Path, mode: int) -> None:
    (place / "state").mkdir()
    (place / "state").chmod(mode)
    assert refused(place / "state").endswith(f"everybody may write in it; chmod o-w {place}/state")


def test_one_below_a_directory_that_everybody_may_rename_in(place: Path) -> None:
    (place / "above" / "state").mkdir(parents=True)
    (place / "above").chmod(0o777)
    assert refused(place / "above" / "state").endswith(f"everybody may write in {place}/above; chmod o-w {place}/above")


def test_what_is_no_directory(place: Path) -> None:
    (place / "state").touch()
    assert "it is no directory" in refused(place / "state")


def test_the_user_of_consul_template_may_own_the_staging_directory(place: Path) -> None:
    (place / "staging").mkdir()
    stranger.by_root("chown", str(stranger.UID), place / "staging")
    trust.refuse_open("the staging directory", place / "staging")


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_we_make_is_nobody_elses_to_write_whatever_the_umask(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        trust.make_directory(place / "a" / "b" / "c", 0o700)
    finally:
        os.umask(before)
    modes = [each.stat().st_mode & 0o777 for each in (place / "a", place / "a" / "b", place / "a" / "b" / "c")]
    assert modes == [0o755 & ~umask, 0o755 & ~umask, 0o700]


# -- the control socket -----------------------------------------------------------------------------------------------

LISTENS = """
import threading
path = given
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen()
def serve():
    while True:
        client, _ = listener.accept()
        client.settimeout(10)
        heard = client.recv(4096)
        open(path + ".heard", "ab").write(heard)
        client.sendall(b'{"ok":true,"lies":1}\\n')
        client.close()
threading.Thread(target=serve, daemon=True).start()
print("ready", flush=True)
"""
ASKS = """
with socket.socket(socket.AF_UNIX) as client:
    client.connect(given)
    client.sendall(b'{"do":"stop"}\\n')
    print(json.dumps(client.recv(4096).decode()))
"""


def test_nothing_is_told_to_a_socket_that_somebody_planted(sticky: Path) -> None:
    state = sticky / "state"
    stranger.does("os.mkdir(given, 0o755)", str(state))
    with stranger.goes_on(LISTENS, str(state / "control.sock")):
        stranger.does("os.chmod(given, 0o777)", str(state / "control.sock"))
        with pytest.raises(ControlUnreachable, match=f"^cannot trust .*: user id {stranger.UID} listens there"):
            ask(state / "control.sock", {"do": "status"}, 5)
    heard = state / "control.sock.heard"
    assert not heard.exists() or heard.read_bytes() == b""


def test_the_owner_of_a_directory_that_only_root_can_have_made_is_believed(place: Path, sticky: Path) -> None:
    (place / "state").mkdir()
    stranger.by_root("chown", str(stranger.UID), place / "state")
    stranger.does("os.mkdir(given, 0o755)", str(sticky / "state"))
    assert [trust.may_serve(uid, place / "state") for uid in (0, os.geteuid(), stranger.UID)] == [True, True, True]
    assert [trust.may_serve(uid, sticky / "state") for uid in (0, os.geteuid(), stranger.UID)] == [True, True, False]
    assert not trust.may_serve(stranger.UID + 1, place / "state")


def test_a_stranger_is_not_served_even_where_the_socket_was_opened(place: Path) -> None:
    asked: list[dict[str, object]] = []

    def handle(request: dict[str, object], reply: Reply) -> None:
        asked.append(request)
        reply({"ok": True})

    server = Server(place / "state" / "control.sock", handle)
    try:
        path = str(place / "state" / "control.sock")
        (place / "state").chmod(0o755)
        assert stranger.does("print(json.dumps(said(socket.socket(socket.AF_UNIX).connect, given)))", path) == "EACCES"
        os.chmod(path, 0o666)
        answer = stranger.does(ASKS, path)
        assert f"cannot serve user id {stranger.UID}" in answer
        assert asked == []
        assert ask(Path(path), {"do": "status"}, 5) == {"ok": True}
    finally:
        server.close()


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_the_socket_is_ours_alone_from_its_first_moment(place: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        server = Server(place / "control.sock", lambda request, reply: None)
    finally:
        os.umask(before)
    modes = {each.name: each.stat().st_mode & 0o777 for each in place.iterdir()}
    server.close()
    assert modes == {"control.sock": 0o600, "control.sock.lock": 0o600}


def test_a_symlink_in_place_of_the_lock_is_not_followed(place: Path) -> None:
    (place / "control.sock.lock").symlink_to(place / "target")
    with pytest.raises(OSError, match="symbolic links"):
        Server(place / "control.sock", lambda request, reply: None)
    assert not (place / "target").exists()
