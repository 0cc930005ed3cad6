"""Our HTTP endpoint with TLS: an engine's own, its certificate followed while it serves."""

import http.client
import socket
import ssl
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.lab import ConsulAgent, Lab, free_port, wait_for
from tests.lab.engine import Engine
from tests.lab.tls import Authority, Issued, anybody, shows
from tests.lab.world import World, agent, consul, lab

__all__ = ["agent", "consul", "lab"]


class Page:
    """An engine that serves over TLS with what `issued` holds."""

    def __init__(self, lab: Lab, consul: ConsulAgent, directory: Path) -> None:
        self.authority = Authority(directory / "ca")
        self.issued, self.port = Issued(directory / "issued" / "http", self.authority), free_port()
        listen = f'[http]\nlisten = "127.0.0.1:{self.port}"\n{self.issued.lines}\n'
        self.world = World(lab, consul, listen=None, more=listen)
        self.engine: Engine = self.world.engine

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.authority.certificate))

    def get(self, path: str) -> tuple[int, str]:
        """By one who checks chain and name."""
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=self.client())
        try:
            client.request("GET", path)
            reply = client.getresponse()
            return reply.status, reply.read().decode()
        finally:
            client.close()

    def until(self, what: str, probe: Callable[[], object]) -> None:
        wait_for(what, probe, 20, self.engine.log, 0.05)


@pytest.fixture
def page(lab: Lab, consul: ConsulAgent, tmp_path: Path) -> Page:
    return Page(lab, consul, tmp_path)


def test_every_page_is_served_and_the_certificate_is_followed(page: Page) -> None:
    assert shows(page.port) == ""  # nobody is served before there is one, not without TLS either
    with suppress(OSError), socket.create_connection(("127.0.0.1", page.port), 20) as plain:
        plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert plain.recv(100) == b""
    first = page.issued.renew()
    page.until("the first", lambda: shows(page.port) == first)
    for path in ("/livez", "/metrics", "/"):
        assert page.get(path)[0] == 200
    assert "consul_kam_build_info" in page.get("/metrics")[1]
    assert 'consul_kam_certificate_expiry_seconds{certificate="http"} 1' in page.get("/metrics")[1]
    for _ in range(3):
        wanted = page.issued.renew()
        page.until("the next", lambda wanted=wanted: shows(page.port) == wanted)
        assert page.get("/livez")[0] == 200


def test_where_the_new_one_is_bad_the_old_one_goes_on(page: Page) -> None:
    old = page.issued.renew()
    page.until("the first", lambda: shows(page.port) == old)
    made = page.issued.copy()
    (made / "key.pem").write_text("no key\n")
    page.issued.swap(made)
    said = "certificate of http: cannot use the key"
    page.until("a word", lambda: said in page.engine.log.read_text())
    assert shows(page.port) == old
    assert "the one before goes on" in page.engine.log.read_text()
    assert page.get("/livez")[0] == 200
    new = page.issued.renew()
    page.until("the new one", lambda: shows(page.port) == new)


def test_what_is_older_than_tls_1_2_or_no_tls_at_all_gets_nothing(page: Page) -> None:
    first = page.issued.renew()
    page.until("the first", lambda: shows(page.port) == first)
    old = anybody()
    warnings.simplefilter("ignore", DeprecationWarning)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", page.port), 20) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain)
    new = anybody()
    new.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", page.port), 20) as plain, new.wrap_socket(plain) as secure:
        assert secure.version() == "TLSv1.2"
    with socket.create_connection(("127.0.0.1", page.port), 20) as plain:
        plain.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with suppress(ConnectionResetError):
            assert plain.recv(65536) == b""
    assert page.get("/livez")[0] == 200


def test_one_who_does_not_finish_his_handshake_holds_nobody_up(page: Page) -> None:
    first = page.issued.renew()
    page.until("the first", lambda: shows(page.port) == first)
    idle = [socket.create_connection(("127.0.0.1", page.port), 20) for _ in range(70)]
    try:
        assert page.get("/livez")[0] == 200
        plain = socket.create_connection(("127.0.0.1", page.port), 20)
        with page.client().wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            for byte in b"GET /livez HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n":
                secure.sendall(bytes([byte]))
            assert secure.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        for each in idle:
            each.close()
