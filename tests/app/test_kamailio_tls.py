"""Kamailio's certificate: what follows from handshakes and files, on paper."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from consul_kam.adapters.identity import Files
from consul_kam.adapters.journal import Journal
from consul_kam.app.kamailio_tls import KamailioTls
from consul_kam.app.loop import Call, Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.core.ports import Call as Asked
from consul_kam.core.ports import Reply, Value
from consul_kam.errors import RpcTimeout
from consul_kam.settings import Tls
from tests.lab.tls import Authority, Issued


class AtOnce(Loop):
    def post(self, call: Call) -> None:
        call()


class Here(Worker):
    def __init__(self) -> None:
        """Without a thread."""

    def submit(self, job: Call) -> None:
        job()


class PaperKamailio:
    """Shows what `cfg` named at its start or last reload, which is `taken`; `late`: to nobody. `mute`: it neither loads
    anew nor answers that.
    """

    def __init__(self, cfg: Path) -> None:
        self.cfg, self.pid, self.reloads, self.late = cfg, 0, 0, False
        self.taken, self.mute = "", False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._context: ssl.SSLContext | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def start(self) -> None:
        self.pid += 1
        self._load()

    def call(self, method: str, *params: str | int, deadline: float) -> tuple[Value, ...]:
        if method == "tls.reload":
            self.reloads += 1
            if self.mute:
                raise RpcTimeout("no answer")
            self._load()
        told: dict[str, tuple[Value, ...]] = {
            "tls.options": ((("config", str(self.cfg)),),),
            "core.uptime": ((("up_since", f"start {self.pid}"),),),
            "core.psx": ((("PID", str(self.pid)),),),
            "core.version": ("kamailio 6.0.1",),
            "core.shmmem": ((("free", str(2**26)),),),
        }
        return told.get(method, ())

    def call_in_order(self, calls: Sequence[Asked], deadline: float) -> list[Reply]:
        raise NotImplementedError

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _load(self) -> None:
        self.taken = self.cfg.read_text()
        named = dict(re.findall(r'(\w+) = "(.*)"', self.taken))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(named["certificate"], named["private_key"])

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            with plain, suppress(OSError):
                if self._context is not None and not self.late:
                    with self._context.wrap_socket(plain, server_side=True) as secure:
                        secure.recv(1)


class Kept:
    """One KamailioTls with its Kamailio."""

    def __init__(self, directory: Path) -> None:
        self.issued = Issued(directory / "issued" / "sip", Authority(directory / "ca"))
        self.kamailio = PaperKamailio(directory / "tls" / "tls.cfg")
        place = self.issued.directory
        given = Tls(directory=str(directory / "tls"), connect=f"127.0.0.1:{self.kamailio.port}", gap=0.0)
        where = Files(*(str(place / name) for name in ("certificate.pem", "key.pem", "ca.pem")))
        rpc = (Here(), self.kamailio)
        self.reporter = Reporter(Journal(directory / "journal"))
        self.tls = KamailioTls(AtOnce(), given, where, rpc, 1.0, self.reporter)
        self.tls.prepare()

    def look(self) -> None:
        """With a handshake, and all that follows."""
        self.tls.looked(self.tls.look(time.time(), True), self.look)

    def starts(self) -> None:
        self.kamailio.start()
        self.tls.again()
        self.look()

    def other_authorities(self) -> None:
        """The same certificate, and one authority more."""
        made = self.issued.copy()
        with (made / "ca.pem").open("ab") as file:
            file.write(Authority(made / "other").certificate.read_bytes())
        self.issued.swap(made)

    @property
    def proven(self) -> bool:
        """Whether what tls.cfg names is what was proven, and what Kamailio has."""
        cfg = self.kamailio.cfg.read_text()
        return self.kamailio.taken == cfg and f"/{(self.kamailio.cfg.parent / 'proven').read_text().split()[0]}/" in cfg

    @property
    def state(self) -> tuple[str, str, int]:
        """What is in use, what is wrong, how often a reload was asked for."""
        leaf = self.tls.in_use
        return leaf.fingerprint if leaf is not None else "", self.tls.trouble, self.kamailio.reloads

    def close(self) -> None:
        self.kamailio.close()
        self.reporter.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with closing(Kept(tmp_path)) as made:
        yield made


def test_a_certificate_that_came_while_one_handshake_failed_is_loaded(kept: Kept) -> None:
    first = kept.issued.renew()
    kept.look()
    kept.starts()
    assert kept.state == (first, "", 0), "it began with it"
    kept.kamailio.late = True
    second = kept.issued.renew()
    kept.look()
    kept.kamailio.late = False
    kept.look()
    assert kept.state == (second, "", 1)


def test_one_that_came_and_went_while_one_handshake_failed_is_named_no_more(kept: Kept) -> None:
    first = kept.issued.renew()
    place = kept.issued.directory.resolve()
    kept.look()
    kept.starts()
    kept.kamailio.late = True
    kept.issued.renew()
    kept.look()
    assert kept.kamailio.cfg.read_text() != kept.kamailio.taken
    kept.kamailio.late = False
    kept.issued.swap(place)
    kept.look()
    assert kept.state[:2] == (first, "")
    assert kept.proven
    kept.starts()
    assert kept.state[:2] == (first, "")
    assert kept.proven


def test_one_that_came_while_kamailio_was_down_is_not_loaded_again(kept: Kept) -> None:
    kept.issued.renew()
    kept.look()
    kept.starts()
    kept.kamailio.late = True
    second = kept.issued.renew()
    kept.look()
    kept.kamailio.late = False
    kept.starts()
    assert kept.state == (second, "", 0)


def test_authorities_alone_that_came_while_one_handshake_failed_are_loaded(kept: Kept) -> None:
    """What Kamailio shows is the same with the old ones as with the new."""
    shown = kept.issued.renew()
    kept.look()
    kept.starts()
    kept.kamailio.late = True
    kept.other_authorities()
    kept.look()
    assert kept.kamailio.cfg.read_text() != kept.kamailio.taken, "it starts with the newest"
    kept.kamailio.late = False
    kept.look()
    assert kept.state == (shown, "", 1)
    assert kept.proven


def test_nor_is_one_whose_authorities_alone_came_before_the_certificate_proven_by_it(kept: Kept) -> None:
    """All of it while no handshake is possible: another certificate, and back, with an authority more."""
    shown = kept.issued.renew()
    first = kept.issued.directory.resolve()
    kept.look()
    kept.starts()
    kept.kamailio.late = True
    kept.issued.renew()
    kept.look()
    kept.issued.swap(first)
    kept.other_authorities()
    kept.look()
    kept.kamailio.late = False
    kept.look()
    assert kept.state == (shown, "", 1)
    assert kept.proven


def test_authorities_alone_are_not_proven_by_a_reload_that_nobody_answered(kept: Kept) -> None:
    shown = kept.issued.renew()
    kept.look()
    kept.starts()
    before = kept.kamailio.taken
    kept.kamailio.mute = True
    kept.other_authorities()
    kept.look()
    assert kept.kamailio.cfg.read_text() == before == kept.kamailio.taken
    assert kept.proven
    assert "gave no answer" in kept.tls.trouble
    kept.kamailio.mute = False
    kept.tls.again()
    kept.look()
    assert kept.state == (shown, "", 2)
    assert kept.kamailio.taken != before
    assert kept.proven


def test_a_new_certificate_is_proven_by_its_handshake_though_nobody_answered_the_reload(kept: Kept) -> None:
    kept.issued.renew()
    kept.look()
    kept.starts()
    before = kept.kamailio.taken
    kept.kamailio.mute = True
    kept.issued.renew()
    kept.look()
    assert "shows another one" in kept.tls.trouble
    assert kept.kamailio.cfg.read_text() == before
