"""Kamailio's certificate: taken from files, loaded, proven by a handshake, and calls over TLS go on meanwhile."""

import grp
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.lab import ConsulAgent, Lab, Uas, free_port, wait_for
from tests.lab.http import scrape, value
from tests.lab.node import Node
from tests.lab.process import LabError, tail
from tests.lab.rpc import Struct
from tests.lab.sip_tls import Cut, Phone, Phones
from tests.lab.tls import Authority, Issued, anybody, shows
from tests.lab.world import agent, consul, every_version, lab

__all__ = ["agent", "consul", "lab"]
reloading = pytest.mark.parametrize("lab", ["6.0.1"], indirect=True)
"""5.6.3 does not stand a reload while others speak TLS with it, as these tests do (docs/findings.md)."""


class Secure:
    """A node whose Kamailio listens on TLS at `port`, with the certificates of `issued`."""

    def __init__(self, lab: Lab, consul: ConsulAgent, directory: Path, lines: str = "", shm: int = 64) -> None:
        self.authority = Authority(directory / "ca")
        self.issued = Issued(directory / "issued" / "sip", self.authority)
        self.port, self.directory = free_port(), directory / "tls"
        self._lab, self._consul, self._lines, self._shm = lab, consul, lines, shm

    @property
    def table(self) -> str:
        own = f'directory = "{self.directory}"\nconnect = "127.0.0.1:{self.port}"\ngap = 1\n'
        return f"[kamailio.tls]\n{self.issued.lines}\n{self.issued.ca_line}\n{own}{self._lines}\n"

    def lay_down(self) -> None:
        """A tls.cfg for a Kamailio that is there before the node."""
        here = self.issued.directory.resolve()
        files = f'certificate = "{here}/certificate.pem"\nprivate_key = "{here}/key.pem"\n'
        self.directory.mkdir(0o700)
        (self.directory / "tls.cfg").write_text(f"[server:default]\n{files}[client:default]\n{files}")

    def options(self, cfg: Path | None = None) -> dict[str, object]:
        """Of its Kamailio."""
        return {
            "shm": self._shm,
            "globals": f"enable_tls=yes\nlisten=tls:127.0.0.1:{self.port}",
            "modparams": f'loadmodule "tls.so"\nmodparam("tls", "config", "{cfg or self.directory / "tls.cfg"}")',
        }

    def node(self, more: str = "", cfg: Path | None = None, **options: Any) -> Node:
        self.engine: Node = self._lab.node(self._consul, kamailio=self.options(cfg), more=self.table + more, **options)
        self.kam = self.engine.kamailio
        return self.engine

    def told(self, use: str = "kamailio") -> dict[str, Any]:
        found = self.engine.ask("status")["node"]["certificates"]
        return next(each for each in found if each["use"] == use)

    def until(self, what: str, probe: Callable[[], object], timeout: float = 20.0) -> None:
        try:
            wait_for(what, probe, timeout, self.engine.log, 0.05)
        except LabError as error:
            raise LabError(f"{error}\n{self.told()}\n{tail(self.kam.log, 8)}") from None

    def proves(self, wanted: str) -> None:
        """Kamailio shows it to strangers, and the node says so."""
        self.until(f"certificate {wanted[:12]}", lambda: shows(self.port) == self.told()["fingerprint"] == wanted)
        self.until("no trouble", lambda: not self.told()["trouble"])

    def also_takes(self, caller: "Caller") -> None:
        """The same certificate, and one authority more."""
        made = self.issued.copy()
        with (made / "ca.pem").open("ab") as file:
            file.write(caller.authority.certificate.read_bytes())
        self.issued.swap(made)

    def refuses(self, text: str, old: str) -> None:
        self.until(f"{text!r}", lambda: text in self.told()["trouble"])
        assert shows(self.port) == self.told()["fingerprint"] == old


@pytest.fixture
def secure(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> Iterator[Secure]:
    with Uas() as callee:
        consul.register("router", "r01", port=callee.port)
        yield Secure(lab, consul, tmp_path)


@reloading
def test_calls_go_on_over_each_new_certificate(secure: Secure) -> None:
    first = secure.issued.renew()
    secure.node().ready()
    secure.proves(first)
    with Phones(secure.port) as phones:
        for _ in range(4):
            done = phones.old.done
            secure.proves(secure.issued.renew())
            secure.until("calls", lambda done=done: phones.old.done > done + 3)
    assert (phones.old.failed, phones.new.failed) == (0, 0), phones.errors[:3]
    assert phones.new.done


@every_version
def test_where_a_reload_is_not_safe_the_new_one_waits_for_a_restart(secure: Secure) -> None:
    """On 5.6.3 by itself, on 6.0.1 where it is wanted. Calls go on over what is there."""
    secure._lines = 'apply = "auto"' if secure._lab.version == "5.6.3" else 'apply = "restart"'
    old = secure.issued.renew()
    node = secure.node()
    node.ready()
    secure.proves(old)
    with Phones(secure.port) as phones:
        new = secure.issued.renew()
        secure.until("a word of it", lambda: secure.told()["restart"])
        done = phones.old.done
        secure.until("calls", lambda: phones.old.done > done + 10)
        assert shows(secure.port) == secure.told()["fingerprint"] == old
    assert (phones.old.failed, phones.new.failed) == (0, 0), phones.errors[:3]
    pid = node.pid_of()
    os.kill(pid, 15)
    node.runs(other_than=pid)
    secure.proves(new)
    assert not secure.told()["restart"]


def spoiled(secure: Secure, tmp_path: Path, how: str) -> Path:
    """A generation that does not fit."""
    made = secure.issued.copy()
    other = tmp_path / f"other-{how}"
    certificate, key = made / "certificate.pem", made / "key.pem"
    if how == "wrong key":
        shutil.copy(secure.authority.issue(other, "IP:127.0.0.1")[1], key)
    elif how == "expired":
        dates = ("20250101000000Z", "20250201000000Z")
        shutil.copy(secure.authority.issue(other, "IP:127.0.0.1", validity=dates)[0], certificate)
        shutil.copy(other / "key.pem", key)
    elif how == "not yet valid":
        dates = ("20490101000000Z", "20491201000000Z")
        shutil.copy(secure.authority.issue(other, "IP:127.0.0.1", validity=dates)[0], certificate)
        shutil.copy(other / "key.pem", key)
    elif how == "another name":
        shutil.copy(secure.authority.issue(other, "DNS:example.org")[0], certificate)
        shutil.copy(other / "key.pem", key)
    elif how == "for clients alone":
        issued, _ = secure.authority.issue(other, "IP:127.0.0.1", more="extendedKeyUsage=clientAuth")
        shutil.copy(issued, certificate)
        shutil.copy(other / "key.pem", key)
    elif how == "no certificate":
        certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    elif how == "a directive":
        certificate.write_text('"\n[server:any]\nprivate_key = "/etc/shadow"\n')
    elif how == "no authority":
        (made / "ca.pem").write_text("nothing\n")
    elif how == "open key":
        key.chmod(0o644)
    else:
        key.unlink()
    return made


@reloading
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("wrong key", "is not the key of"),
        ("expired", "it expired at 2025-02-01T00:00:00Z"),
        ("not yet valid", "it is not valid before 2049-01-01T00:00:00Z"),
        ("another name", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("for clients alone", "unsuitable certificate purpose"),
        ("no certificate", "cannot use the certificate"),
        ("a directive", "there is no BEGIN CERTIFICATE in it"),
        ("no authority", "cannot use the authorities"),
        ("open key", "everybody may read or write it; chmod o="),
        ("no key", "cannot read the key"),
    ],
)
def test_a_pair_that_does_not_fit_is_never_loaded(secure: Secure, tmp_path: Path, how: str, said: str) -> None:
    old = secure.issued.renew()
    secure._lines = 'names = ["127.0.0.1"]'
    node = secure.node()
    node.ready()
    secure.proves(old)
    cfg = (secure.directory / "tls.cfg").read_text()
    phone = Phone(secure.port)
    secure.issued.swap(spoiled(secure, tmp_path, how))
    secure.refuses(said, old)
    assert node.logged(said).count("certificate of kamailio: cannot") == 1
    phone.options()
    assert (secure.directory / "tls.cfg").read_text() == cfg
    pid = node.pid_of()
    os.kill(pid, 15)
    node.runs(other_than=pid)
    secure.until("the old one after a restart", lambda: shows(secure.port) == old)
    secure.proves(secure.issued.renew())


@every_version
def test_a_kamailio_that_is_not_ours_comes_back_with_the_newest(secure: Secure) -> None:
    """Nobody tells us of its restart: it is seen by the next handshake."""
    secure._lines = "every = 1"
    secure.issued.renew()
    secure.lay_down()
    secure.node(spawn=False)
    if secure._lab.version == "5.6.3":
        secure.until("a restart wanted", lambda: secure.told()["restart"])
    else:
        secure.until("a proof", lambda: secure.told()["fingerprint"])
    secure.kam.stop()
    cfg = (secure.directory / "tls.cfg").read_text()
    new = secure.issued.renew()
    secure.until("what it shall start with", lambda: (secure.directory / "tls.cfg").read_text() != cfg)
    secure.kam.start()
    secure.proves(new)


@reloading
def test_a_kamailio_that_was_only_late_loads_what_came_meanwhile(secure: Secure) -> None:
    """No handshake in time: tls.cfg names the new one at once, and this Kamailio did not begin with it."""
    secure._lines = "every = 1\ndeadline = 2"
    first = secure.issued.renew()
    secure.lay_down()
    secure.node(spawn=False)
    secure.proves(first)
    os.killpg(secure.kam.pid, signal.SIGSTOP)
    cfg = (secure.directory / "tls.cfg").read_text()
    new = secure.issued.renew()
    secure.until("what it shall start with", lambda: (secure.directory / "tls.cfg").read_text() != cfg)
    os.killpg(secure.kam.pid, signal.SIGCONT)
    secure.proves(new)


@every_version
def test_what_kamailio_cannot_load_is_told_and_the_old_one_stays(secure: Secure) -> None:
    """Its own eye is the last: here the directory is another one than that which its configuration names."""
    old = secure.issued.renew()
    mine = secure.directory.parent / "mine.cfg"
    here = secure.issued.directory.resolve()
    mine.write_text(
        f'[server:default]\nmethod = TLSv1.2+\ncertificate = "{here}/certificate.pem"\nprivate_key = "{here}/key.pem"\n'
        f'[client:default]\nmethod = TLSv1.2+\ncertificate = "{here}/certificate.pem"\nprivate_key = "{here}/key.pem"\n'
    )
    secure.node(cfg=mine, spawn=False)
    secure.issued.renew()
    secure.until("the cure", lambda: 'modparam("tls", "config", "' in secure.told()["trouble"])
    assert shows(secure.port) == old


@reloading
def test_nothing_is_loaded_where_memory_is_short(secure: Secure) -> None:
    """A reload gives none back: below 512 kB a process Kamailio would take no new TLS connection."""
    secure._shm = 13
    first = secure.issued.renew()
    node = secure.node()
    node.ready()
    shown = first
    for _ in range(30):
        wanted = secure.issued.renew()
        secure.until("a verdict", lambda wanted=wanted: shows(secure.port) == wanted or secure.told()["restart"])
        if secure.told()["restart"]:
            break
        shown = wanted
    assert "of its shared memory are free" in secure.told()["trouble"]
    assert shows(secure.port) == shown != first
    Phone(secure.port).options()
    pid = node.pid_of()
    os.kill(pid, 15)
    node.runs(other_than=pid)
    secure.proves(wanted)
    assert not secure.told()["restart"]


@reloading
def test_a_certificate_in_use_is_told_everywhere(secure: Secure) -> None:
    listen = f"127.0.0.1:{free_port()}"
    now = time.time()
    validity = tuple(time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at)) for at in (now - 900, now + 300))
    secure.issued.renew(validity=(validity[0], validity[1]))
    node = secure.node(listen=listen)
    node.ready()
    node.logged("less than a third of its life is left, and there is no newer one")
    secure.until("in use", lambda: secure.told()["near"])
    left = value(scrape(listen), "consul_kam_certificate_expiry_seconds", certificate="kamailio")
    assert left is not None
    assert 0 < left <= 300
    assert value(scrape(listen), "consul_kam_certificate_trouble", certificate="kamailio") == 0
    shown = subprocess.run(
        [sys.executable, "-m", "consul_kam", "status"],
        env={**os.environ, **node.env}, capture_output=True, text=True, timeout=60, check=False,
    ).stdout  # fmt: skip
    assert "certificate of kamailio" in shown
    assert "less than a third" in shown
    newer = secure.issued.renew()
    secure.proves(newer)
    assert not secure.told()["near"]

    def last() -> str:
        said = ("certificate proven", "certificate in use")
        return str([entry["serial"] for entry in node.journal() if entry.get("event") in said][-1])

    secure.until("it in the journal", lambda: last() == secure.told()["serial"])


MEMORY = Path("/dev/shm")
"""A tmpfs."""


@reloading
def test_nobody_but_kamailios_user_reads_the_key(secure: Secure) -> None:
    """Kamailio opens it at each reload and, at a start, after it has become that user: a group would be too many."""
    place = Path(tempfile.mkdtemp(prefix="ck-", dir=MEMORY))
    try:
        place.chmod(0o711)
        secure.issued = Issued(place / "issued" / "sip", secure.authority)
        secure.directory = place / "tls"
        secure._lines = 'user = "nobody"'
        first = secure.issued.renew()
        node = secure.node(start=False)
        secure.kam.options.argv.extend(["-u", "nobody", "-g", "nogroup"])
        node.config.write_text(
            node.config.read_text().replace('"-M", "8"]', '"-M", "8", "-u", "nobody", "-g", "nogroup"]')
        )
        for path in (secure.kam.run, *secure.kam.directory.parents, secure.kam.directory, secure.kam.live):
            os.chmod(path, path.stat().st_mode | (0o075 if path == secure.kam.run else 0o055))
        os.chown(secure.kam.run, 0, grp.getgrnam("nogroup").gr_gid)
        node.start()
        node.ready()
        secure.proves(first)
        secure.proves(secure.issued.renew())
        wait_for("one of them", lambda: len(list(secure.directory.glob("*/"))) == 1, 10)
        for path in secure.directory.rglob("*"):
            found = os.getxattr(path, "system.posix_acl_access")
            assert acl(found) == {(0x01, 7 if path.is_dir() else 6), (0x02, 1 if path.is_dir() else 4), (0x04, 0),
                                  (0x10, 1 if path.is_dir() else 4), (0x20, 0)}  # fmt: skip
        key = next(secure.directory.glob("*/key.pem"))
        assert reads("65534", "0", key)
        assert not reads("65533", "65534", key)  # of the same group
        assert not reads("65533", "0", key)  # of ours
        old, cfg = shows(secure.port), (secure.directory / "tls.cfg").read_text()
        os.removexattr(secure.directory, "system.posix_acl_access")
        secure.directory.chmod(0o700)
        secure.issued.renew()
        secure.refuses("500 Error while loading TLS configuration file (consult server log); may [kamailio.tls]", old)
        assert (secure.directory / "tls.cfg").read_text() == cfg
    finally:
        node.stop()
        shutil.rmtree(place)


def acl(raw: bytes) -> set[tuple[int, int]]:
    return {struct.unpack_from("<HH", raw, at) for at in range(4, len(raw), 8)}


def reads(user: str, group: str, path: Path) -> bool:
    argv = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "cat", str(path)]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def test_a_key_from_memory_is_never_copied_to_a_disk(secure: Secure) -> None:
    place = Path(tempfile.mkdtemp(prefix="ck-", dir=MEMORY))
    try:
        secure.issued = Issued(place / "issued" / "sip", secure.authority)
        secure.issued.renew()
        secure.directory = secure.directory.parent / "on-a-disk"
        node = secure.node()
        node.logged("it is no tmpfs, and the key comes from one")
        waits = "its certificate: cannot write"
        wait_for("the reason", lambda: waits in node.ask("status")["node"]["waits_for"], 20, node.log)
        assert not list(secure.directory.rglob("key.pem"))
    finally:
        shutil.rmtree(place)


@reloading
def test_authorities_alone_are_a_new_certificate_too(secure: Secure, tmp_path: Path) -> None:
    """Its own certificate stays, so a handshake alone would not tell; whom it takes changes."""
    secure._lines = 'clients = "required"'
    first = secure.issued.renew()
    secure.node().ready()
    secure.proves(first)
    one, two = Caller(secure, secure.authority), Caller(secure, Authority(tmp_path / "other"))
    assert one.taken
    assert not two.taken
    secure.also_takes(two)
    secure.until("the other authority", lambda: two.taken)
    assert one.taken
    secure.proves(first)
    with pytest.raises((Cut, OSError)):
        Phone(secure.port).options()


@reloading
def test_authorities_alone_that_came_while_it_was_late_are_loaded_too(secure: Secure, tmp_path: Path) -> None:
    """Its next handshake shows what it would show with them, and proves nothing."""
    secure._lines = 'every = 1\ndeadline = 0.3\nclients = "required"'
    first = secure.issued.renew()
    secure.lay_down()
    secure.node(spawn=False)
    secure.proves(first)
    one, two = Caller(secure, secure.authority), Caller(secure, Authority(tmp_path / "other"))
    secure.until("those who show one", lambda: one.taken)
    os.killpg(secure.kam.pid, signal.SIGSTOP)
    cfg = (secure.directory / "tls.cfg").read_text()
    secure.also_takes(two)
    secure.until("what it shall start with", lambda: (secure.directory / "tls.cfg").read_text() != cfg)
    os.killpg(secure.kam.pid, signal.SIGCONT)
    proven = secure.directory / "proven"
    secure.until("a proof", lambda: f"/{proven.read_text().split()[0]}/" in (secure.directory / "tls.cfg").read_text())
    assert two.taken, "what is proven is in force"
    assert one.taken
    secure.proves(first)


@reloading
def test_another_word_on_who_has_to_show_one_is_in_force_after_sighup(secure: Secure) -> None:
    """All files are the same then, and so is what Kamailio shows."""
    first = secure.issued.renew()
    node = secure.node()
    node.ready()
    secure.proves(first)
    Phone(secure.port).options()
    one = Caller(secure, secure.authority)

    def anybody_is_taken() -> bool:
        try:
            Phone(secure.port).options()
        except (Cut, OSError):
            return False
        return True

    text = node.config.read_text()
    node.config.write_text(text.replace("gap = 1\n", 'gap = 1\nclients = "required"\n'))
    node.hup()
    secure.until("those who show none are refused", lambda: not anybody_is_taken())
    assert one.taken
    node.ready()
    secure.proves(first)
    node.config.write_text(text)
    node.hup()
    secure.until("all are taken", anybody_is_taken)


class Caller:
    """With a certificate of this authority."""

    def __init__(self, secure: Secure, authority: Authority) -> None:
        self.authority, self._secure, self._context = authority, secure, anybody()
        self._context.load_cert_chain(*authority.issue(authority.certificate.parent / "phone", "DNS:phone"))

    @property
    def taken(self) -> bool:
        try:
            phone = Phone(self._secure.port, self._context)
            phone.options()
            phone.close()
        except (Cut, OSError):
            return False
        return True


@reloading
def test_an_engine_that_was_killed_goes_on_from_what_it_finds(secure: Secure) -> None:
    """Between the write of tls.cfg and the reload, or after it: what Kamailio shows is compared, not remembered."""
    old = secure.issued.renew()
    node = secure.node()
    node.ready()
    secure.proves(old)
    node.kill9()
    new = secure.issued.renew()
    before = (secure.directory / "tls.cfg").read_text()
    made = secure.directory / "0123456789abcdef"
    made.mkdir()
    node.start()
    secure.proves(new)
    assert (secure.directory / "tls.cfg").read_text() != before
    assert not made.exists()
    node.kill9()
    free = shared(secure)
    node.start()
    secure.proves(new)
    secure.until("that it was not loaded again: 300 kB", lambda: free - shared(secure) < 100_000)


def shared(secure: Secure) -> float:
    """Free bytes."""
    (told,) = secure.kam.rpc.call("core.shmmem")
    assert isinstance(told, Struct)
    return float(str(told["free"]))


@reloading
def test_where_another_one_is_shown_after_all_it_is_not_taken_for_proven(secure: Secure, tmp_path: Path) -> None:
    """`connect` leads somewhere else: Kamailio's Ok alone proves nothing, and tls.cfg is as it was."""
    certificate, key = secure.authority.issue(tmp_path / "stranger", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    secure.issued.renew()
    with Stranger(context) as port:
        real, secure.port = secure.port, port
        table = secure.table
        secure.port = real
        secure._lines = ""
        secure.engine = secure._lab.node(secure._consul, kamailio=secure.options(), more=table)
        secure.kam = secure.engine.kamailio
        secure.until("a word", lambda: "Kamailio said Ok, and shows another one" in secure.told()["trouble"])
        assert secure.told()["fingerprint"] == ""
        before = (secure.directory / "tls.cfg").read_text()
        second = secure.issued.renew()
        secure.until("a second try", lambda: shows(real) == second)
        secure.engine.logged("certificate of kamailio: cannot load the certificate: Kamailio said Ok")
        secure.until("the old one named", lambda: (secure.directory / "tls.cfg").read_text() == before)
        assert not (secure.directory / "proven").exists()


class Stranger:
    """In a with block: a TLS server that shows its certificate and hangs up; its port."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context, self._listener = context, socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError), self._context.wrap_socket(plain, server_side=True) as secure:
                secure.recv(100)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._listener.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
