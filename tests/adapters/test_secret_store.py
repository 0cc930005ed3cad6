"""Secrets as files: generations, one rename, who may look in, and where they may lie at all."""

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters.memory import in_memory
from consul_kam.adapters.secret_store import SecretStore
from consul_kam.errors import ConfigError
from tests.lab import stranger


@pytest.fixture
def directory() -> Iterator[Path]:
    """Does not exist yet; on tmpfs."""
    with tempfile.TemporaryDirectory(prefix="ck-store-", dir="/dev/shm") as place:
        yield Path(place) / "secrets"


@pytest.fixture
def store(directory: Path) -> SecretStore:
    store = SecretStore(directory)
    store.prepare()
    return store


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_a_generation_replaces_another_in_one_rename(store: SecretStore, directory: Path) -> None:
    store.publish("db", 1, {"username": b"u1", "password": b"p1"}, {"a": 1})
    opened = os.open(directory / "db", os.O_RDONLY | os.O_DIRECTORY)
    try:
        store.publish("db", 2, {"username": b"u2"}, {"a": 2})
        assert os.readlink(directory / "db") == ".db.2"
        assert set(os.listdir(opened)) == {"username", "password"}, "whoever is in there sees all of the old one"
    finally:
        os.close(opened)
    assert (directory / "db" / "username").read_bytes() == b"u2"
    assert not (directory / "db" / "password").exists()
    assert (store.current("db"), store.generations()) == (2, {"db": [1, 2]})
    assert (store.about("db", 1), store.about("db", 2), store.about("db", 3)) == ({"a": 1}, {"a": 2}, None)
    assert {mode(directory), mode(directory / ".db.2")} == {0o700}
    assert {mode(directory / ".db.2" / "username"), mode(directory / ".db.2.json")} == {0o600}
    store.drop("db", 1)
    assert store.generations() == {"db": [2]}
    assert sorted(path.name for path in directory.iterdir()) == [".db.2", ".db.2.json", "db"]
    store.withdraw("db")
    store.withdraw("db")
    assert store.current("db") == 0


def test_modes_hold_under_any_umask(directory: Path) -> None:
    before = os.umask(0)
    try:
        store = SecretStore(directory)
        store.prepare()
        store.publish("db", 1, {"password": b"p"}, {})
        store.keep_login({"token": "t"})
    finally:
        os.umask(before)
    assert {mode(directory), mode(directory / ".db.1")} == {0o700}
    assert {mode(directory / name) for name in (".db.1/password", ".db.1.json", ".login.json")} == {0o600}


def test_what_cannot_be_written_changes_nothing(store: SecretStore, directory: Path) -> None:
    store.publish("db", 1, {"password": b"p1"}, {})
    with pytest.raises(OSError, match="no/such"):
        store.publish("db", 2, {"a": b"x", "no/such/place": b"p2"}, {})
    assert (store.current("db"), store.generations()) == (1, {"db": [1]})
    with pytest.raises(FileExistsError):
        store.publish("db", 1, {"password": b"p2"}, {})
    assert (directory / "db" / "password").read_bytes() == b"p1"


def test_a_link_left_half_way_stops_nothing(store: SecretStore, directory: Path) -> None:
    (directory / ".db.new").symlink_to("elsewhere")
    store.publish("db", 7, {"password": b"p"}, {})
    assert store.current("db") == 7


def test_what_somebody_else_put_there_is_no_generation(store: SecretStore, directory: Path) -> None:
    (directory / ".db.x").mkdir()
    (directory / ".db.5").write_text("")
    (directory / "db").symlink_to(".db.5")
    (directory / "tls").symlink_to(".db.6")
    (directory / ".db.6").mkdir()
    assert (store.current("db"), store.current("tls"), store.current("none")) == (0, 0, 0)
    assert store.generations() == {"db": [6]}


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 5000, "\xff"])
def test_what_is_damaged_says_nothing(store: SecretStore, directory: Path, text: str) -> None:
    for name in (".db.1.json", ".login.json"):
        (directory / name).write_text(text, encoding="latin-1")
    assert store.about("db", 1) is None
    assert store.login() is None


def test_the_login_is_kept(store: SecretStore) -> None:
    assert store.login() is None
    store.keep_login({"token": "t"})
    assert store.login() == {"token": "t"}


def test_a_disk_is_refused(tmp_path: Path) -> None:
    assert in_memory(Path("/dev/shm"))
    place = next(each for each in (tmp_path, Path("/var/tmp"), Path("/")) if not in_memory(each))
    chosen = Path(tempfile.mkdtemp(dir=place)) / "secrets"
    try:
        with pytest.raises(ConfigError, match=r"cannot use vault.directory .*: it is on a disk: secrets lie on tmpfs"):
            SecretStore(chosen).prepare()
    finally:
        chosen.rmdir()
        chosen.parent.rmdir()


def test_a_directory_that_others_see_is_refused(directory: Path) -> None:
    directory.mkdir(0o750)
    directory.chmod(0o750)
    with pytest.raises(ConfigError, match=r"others may look in; chmod 700"):
        SecretStore(directory).prepare()
    directory.rmdir()
    directory.write_text("")
    with pytest.raises(ConfigError, match="it is no directory"):
        SecretStore(directory).prepare()
    directory.unlink()
    directory.symlink_to("/dev/shm")
    with pytest.raises(ConfigError, match="it is no directory"):
        SecretStore(directory).prepare()
    directory.unlink()
    with pytest.raises(ConfigError, match=r"cannot use vault.directory /proc/1/x: "):
        SecretStore(Path("/proc/1/x")).prepare()
    with pytest.raises(OSError, match="No such file"):
        in_memory(Path("/none"))


def test_another_users_directory_is_refused(directory: Path) -> None:
    directory.mkdir(0o700)
    stranger.by_root("chown", str(stranger.UID), directory)
    try:
        with pytest.raises(ConfigError, match=f"it belongs to user id {stranger.UID}, and this is user id "):
            SecretStore(directory).prepare()
    finally:
        stranger.by_root("chown", str(os.geteuid()), directory)
