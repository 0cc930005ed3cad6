"""A certificate with its key, read as one, judged, and followed."""

import gc
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from consul_kam.adapters import handshake, identity
from consul_kam.adapters.handshake import NoHandshake
from consul_kam.adapters.identity import Files, Followed, Unfit
from tests.lab.process import meanwhile
from tests.lab.tls import Authority, Issued, fingerprint


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def issued(authority: Authority, tmp_path: Path) -> Issued:
    return Issued(tmp_path / "secret", authority)


def files(issued: Issued, ca: bool = True) -> Files:
    place = issued.directory
    return Files(str(place / "certificate.pem"), str(place / "key.pem"), str(place / "ca.pem") if ca else "")


def test_what_is_read_is_what_openssl_says(issued: Issued) -> None:
    shown = issued.renew()
    found = identity.load(files(issued), ["127.0.0.1"], time.time())
    assert found.leaf.fingerprint == shown == fingerprint(found.certificate.decode())
    assert 172_700 < found.leaf.ends - found.leaf.begins < 172_900
    assert "BEGIN" not in repr(found).replace("BEGIN CERTIFICATE", "")
    assert found.digest != identity.load(files(issued, ca=False)).digest


def test_one_file_may_hold_both(issued: Issued, tmp_path: Path) -> None:
    issued.renew()
    where, bundle = files(issued), tmp_path / "bundle.pem"
    bundle.write_bytes(Path(where.certificate).read_bytes() + Path(where.key).read_bytes())
    bundle.chmod(0o600)
    assert identity.load(Files(str(bundle), str(bundle))).leaf == identity.load(where).leaf


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(issued: Issued) -> None:
    issued.renew()
    where = files(issued)
    locked = Path(where.key).with_name("locked.pem")
    argv = ["openssl", "pkey", "-in", where.key, "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(argv, check=True, capture_output=True)
    with pytest.raises(Unfit, match="it is encrypted"):
        identity.load(where._replace(key=str(locked)))


def test_a_key_with_which_anybody_may_do_anything_is_none(issued: Issued) -> None:
    issued.renew()
    for mode in (0o604, 0o602):
        Path(files(issued).key).chmod(mode)
        with pytest.raises(Unfit, match="chmod o="):
            identity.load(files(issued))
        assert identity.load(files(issued), closed=False)


@pytest.mark.parametrize("kind", ["directory", "fifo", "large"])
def test_what_is_no_file_of_ours_is_not_read(issued: Issued, tmp_path: Path, kind: str) -> None:
    issued.renew()
    strange = tmp_path / "strange"
    if kind == "directory":
        strange.mkdir()
    elif kind == "fifo":
        os.mkfifo(strange)
    else:
        with strange.open("wb") as file:
            file.truncate(identity.LARGEST + 1)
    with pytest.raises(Unfit, match="cannot read the certificate"):
        identity.load(files(issued)._replace(certificate=str(strange)))


def test_while_they_are_swapped_a_certificate_never_stands_beside_anothers_key(issued: Issued) -> None:
    issued.renew()
    places = [issued.directory.resolve()]
    issued.renew()
    places.append(issued.directory.resolve())
    whole = {((place / "certificate.pem").read_bytes(), (place / "key.pem").read_bytes()) for place in places}
    seen = set[tuple[bytes, bytes]]()

    def swap() -> None:
        places.reverse()
        issued.swap(places[0])

    with meanwhile(swap, 0.0001):
        loads, until = 0, time.monotonic() + 30
        while loads < 200 or (seen != whole and time.monotonic() < until):
            loads += 1
            try:
                found = identity.load(files(issued, ca=False))
            except Unfit:
                continue
            seen.add((found.certificate, found.key))
    assert seen == whole


def test_followed_takes_the_newest_that_fits(issued: Issued, authority: Authority) -> None:
    followed, now = Followed(files(issued)), time.time() + 60  # those made below are valid then
    assert not followed.look(now)
    assert (followed.current, "cannot read" in followed.trouble) == (None, True)
    first = issued.renew()
    assert followed.look(now)
    assert followed.current is not None
    assert (followed.current.leaf.fingerprint, followed.trouble) == (first, "")
    assert not followed.look(now)
    made = issued.copy()
    (made / "key.pem").write_text("")
    issued.swap(made)
    assert not followed.look(now)
    assert (followed.current.leaf.fingerprint, "cannot use the key" in followed.trouble) == (first, True)
    assert not followed.look(now)
    second = issued.renew()
    assert followed.look(now)
    assert (followed.current.leaf.fingerprint, followed.trouble) == (second, "")


def test_what_is_not_valid_yet_is_taken_once_it_is(issued: Issued) -> None:
    now = time.time()
    later = tuple(time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at)) for at in (now + 60, now + 600))
    wanted = issued.renew(validity=(later[0], later[1]))
    followed = Followed(files(issued))
    assert not followed.look(now)
    assert "it is not valid before" in followed.trouble
    assert followed.look(now + 61)
    assert followed.current is not None
    assert followed.current.leaf.fingerprint == wanted


def test_a_clock_that_was_ahead_once_holds_up_nothing(issued: Issued) -> None:
    wanted, now = issued.renew(), time.time() + 60
    followed = Followed(files(issued))
    assert not followed.look(now + 20 * 365 * 86400)
    assert "it expired" in followed.trouble
    assert followed.look(now), "put right again"
    assert followed.current is not None
    assert (followed.current.leaf.fingerprint, followed.trouble) == (wanted, "")


@pytest.mark.parametrize("name", [".example.org", "a..b", "a" * 64, "x." * 200])
def test_a_name_that_is_none_is_told_and_ends_nothing(issued: Issued, name: str) -> None:
    issued.renew()
    with pytest.raises(Unfit, match=r"cannot use the certificate .* for "):
        identity.load(files(issued), [name])
    with socket.create_server(("127.0.0.1", 0)) as there, pytest.raises(NoHandshake):
        handshake.shown(f"127.0.0.1:{there.getsockname()[1]}", 0.2, name)


def test_no_descriptor_is_left(issued: Issued) -> None:
    issued.renew()
    gc.collect()  # other tests' too
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        identity.load(files(issued), ["127.0.0.1"])
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_handshake_with_nobody_and_with_one_who_speaks_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        where = f"127.0.0.1:{there.getsockname()[1]}"
        with pytest.raises(NoHandshake, match=f"cannot shake hands with {where}: no answer in time"):
            handshake.shown(where, 0.2)
    with pytest.raises(NoHandshake, match="Connection refused"):
        handshake.shown(where, 1.0)
