"""What Kamailio reads of its certificate: what is ours in that directory, and who may read it."""

import os
import stat
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from consul_kam.adapters import identity
from consul_kam.adapters.identity import Files, Identity
from consul_kam.adapters.tls_store import CFG, PROVEN, WRITTEN, TlsStore
from consul_kam.errors import ConfigError
from tests.lab.tls import Authority

MASK, NAMED = 0x10, 0x02


@pytest.fixture
def directory() -> Iterator[Path]:
    """Does not exist yet; on tmpfs, which has access lists."""
    with tempfile.TemporaryDirectory(prefix="ck-tls-", dir="/dev/shm") as place:
        yield Path(place) / "tls"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> tuple[Identity, str]:
    """And where its key came from."""
    place = tmp_path_factory.mktemp("ca")
    certificate, key = Authority(place).issue(place / "issued", "IP:127.0.0.1")
    return identity.load(Files(str(certificate), str(key))), str(key)


def prepared(directory: Path, user: str = "") -> TlsStore:
    store = TlsStore(directory, user)
    store.prepare()
    return store


def allowed(path: Path) -> dict[int, int]:
    """User id -> what he has by name, as the mask lets it pass; without a list nobody is named."""
    try:
        raw = os.getxattr(path, "system.posix_acl_access")
    except OSError:
        return {}
    entries = [struct.unpack_from("<HHI", raw, at) for at in range(4, len(raw), 8)]
    mask = next(right for tag, right, _ in entries if tag == MASK)
    return {uid: right & mask for tag, right, uid in entries if tag == NAMED}


def test_another_user_reads_what_is_there_already_and_the_one_before_no_more(
    directory: Path, issued: tuple[Identity, str]
) -> None:
    store = prepared(directory)
    store.put(*issued)
    for name in (CFG, PROVEN, WRITTEN):
        store.write(name, "x")
    for user, uid in (("nobody", 65534), ("daemon", 1), ("", None)):
        prepared(directory, user).put(*issued)
        for path in (directory, *directory.rglob("*")):
            want = {} if uid is None else {uid: 1 if path.is_dir() else 4}
            found = {who: right for who, right in allowed(path).items() if right}
            assert (path.name, user, found) == (path.name, user, want)
            assert not path.stat().st_mode & stat.S_IRWXO


def test_what_is_not_ours_is_never_removed(directory: Path, issued: tuple[Identity, str]) -> None:
    store = prepared(directory)
    store.put(*issued)
    ours = directory / issued[0].digest
    for name in ("0123456789abcdef", ".0123456789abcdef"):
        (directory / name).mkdir()
    theirs = [directory / name for name in ("scripts", "0123456789abcde", ".db.1")]
    for place in theirs:
        place.mkdir()
        (place / "file").write_text("precious")
    link = directory / "fedcba9876543210"
    link.symlink_to(theirs[0])
    store.tidy({issued[0].digest})
    assert sorted(directory.iterdir()) == sorted([ours, link, *theirs])
    assert all((place / "file").read_text() == "precious" for place in theirs)


@pytest.mark.parametrize(
    "name", ["scripts/", "kamailio.cfg", "0123456789abcdef", "tls.cfg.bak", "tls.cfg@", "written/"]
)
def test_a_directory_that_holds_something_else_is_refused_and_left_as_it_is(directory: Path, name: str) -> None:
    other = directory / name.strip("/@")
    directory.mkdir()
    if name.endswith("/"):
        other.mkdir()
    elif name.endswith("@"):
        other.symlink_to("/etc/hostname")
    else:
        other.write_text("precious")
    directory.chmod(0o755)
    said = rf"cannot use \[kamailio.tls\] directory {directory}: {other.name} in it is not ours; choose a directory"
    with pytest.raises(ConfigError, match=said):
        prepared(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o755


def test_what_an_engine_left_that_was_killed_is_taken_over(directory: Path, issued: tuple[Identity, str]) -> None:
    store = prepared(directory)
    store.put(*issued)
    store.write(CFG, "x")
    (directory / f".{CFG}.consul-kam").write_text("half")
    (directory / ".0123456789abcdef").mkdir()
    prepared(directory)
    assert store.read(CFG) == "x"
