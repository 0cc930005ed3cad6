"""Each trap of python-consul2 (docs/findings.md), by name: that it is there, and that our client does not step into it.

| trap | test |
|---|---|
| `CONSUL_HTTP_ADDR` wins over explicit arguments | test_trap_the_environments_address |
| `CONSUL_HTTP_TOKEN` wins over explicit arguments | test_trap_the_environments_token |
| `CONSUL_HTTP_SSL` wins over them, and only `true` counts | test_trap_the_environments_ssl |
| `CONSUL_HTTP_SSL_VERIFY` replaces a CA's path, or nothing is verified | test_trap_the_environments_ssl_verify |
| IPv6 addresses are not understood | test_trap_ipv6 |
| `unix://` is not understood | test_trap_unix_socket |
| the client's timeout cuts blocking queries, as requests' ReadTimeout | test_trap_the_timeout |
| DeprecationWarnings | test_trap_deprecation_warnings |
| a proxy of the environment is used for the agent on loopback | test_trap_a_proxy |
| what the environment had is put back | test_the_environment_is_as_it_was |
| a CA file is read once for a connection that is kept | test_a_ca_file_is_read_at_each_connection |
"""

import http.server
import os
import socket
import socketserver
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.errors import ConsulError
from tests.lab.secure_ca import Authority

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import consul as raw

VARIABLES = ("CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_SSL", "CONSUL_HTTP_SSL_VERIFY")


class Agent:
    """Answers `"it"`; `asked`: (path, token) of each request."""

    def __init__(self, kind: type[socketserver.BaseServer], address: Any) -> None:
        self.asked: list[tuple[str, str | None]] = []
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                agent.asked.append((self.path, self.headers.get("X-Consul-Token")))
                self.send_response(200)
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b'"it"')

            def address_string(self) -> str:
                return ""

            def log_message(self, *_: object) -> None:
                pass

        self.server: Any = kind(address, Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server.server_address[1])

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Six(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


class Unix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


Made = Callable[..., Agent]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    opened: list[Agent] = []

    def make(
        kind: type[socketserver.BaseServer] = http.server.ThreadingHTTPServer, at: Any = ("127.0.0.1", 0)
    ) -> Agent:
        opened.append(Agent(kind, at))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def theirs(**given: Any) -> Any:
    """A client as python-consul2 makes it, past ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return raw.Consul(**given)


def test_trap_the_environments_address(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    meant, other = made(), made()
    monkeypatch.setenv("CONSUL_HTTP_ADDR", f"127.0.0.1:{other.port}")
    theirs(host="127.0.0.1", port=meant.port).status.leader()
    assert (len(meant.asked), len(other.asked)) == (0, 1)
    assert Consul(f"127.0.0.1:{meant.port}", deadline=20.0).leader() == "it"
    assert (len(meant.asked), len(other.asked)) == (1, 1)


def test_trap_the_environments_token(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    agent, file = made(), tmp_path / "token"
    file.write_text("of the file\n")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "of the environment")
    assert theirs(token="explicit").token == "of the environment"
    client = Consul(f"127.0.0.1:{agent.port}", str(file))
    client.leader()
    file.write_text("of another file\n")
    client.leader()
    Consul(f"127.0.0.1:{agent.port}", deadline=20.0).leader()  # none is configured
    assert [token for _, token in agent.asked] == ["of the file", "of another file", "of the environment"]


def test_trap_the_environments_ssl(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = made()
    monkeypatch.setenv("CONSUL_HTTP_SSL", "1")
    assert theirs(scheme="http").scheme == "http"  # the word of Consul's own programs for it
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    assert theirs(scheme="http").scheme == "https"
    assert Consul(f"http://127.0.0.1:{agent.port}", deadline=20.0).leader() == "it"


def test_trap_the_environments_ssl_verify(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    agent, right, wrong = made(), Authority(tmp_path / "right"), Authority(tmp_path / "wrong")
    speak_tls(agent, right, tmp_path / "agent")
    monkeypatch.setenv("CONSUL_HTTP_SSL_VERIFY", "false")
    given = {"host": "127.0.0.1", "port": agent.port, "scheme": "https"}
    assert theirs(verify=str(wrong.certificate), **given).http.verify is False
    address = f"https://127.0.0.1:{agent.port}"
    with pytest.raises(ConsulError, match="its certificate is of no authority in"):
        Consul(address, ca_file=str(wrong.certificate)).get("/v1/status/leader")
    monkeypatch.setenv("CONSUL_HTTP_SSL_VERIFY", "true")
    assert theirs(verify=str(right.certificate), **given).http.verify is True  # of the system's authorities
    assert Consul(address, ca_file=str(right.certificate)).leader() == "it"


def speak_tls(agent: Agent, authority: Authority, place: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(place).names)
    agent.server.socket = context.wrap_socket(agent.server.socket, server_side=True)


def test_trap_ipv6(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = made(Six, ("::1", 0))
    assert theirs(host="::1", port=8500).http.base_uri == "http://::1:8500"
    monkeypatch.setenv("CONSUL_HTTP_ADDR", f"[::1]:{agent.port}")
    with pytest.raises(raw.ConsulException, match="does not match"):
        theirs()
    assert Consul(f"[::1]:{agent.port}", deadline=20.0).leader() == "it"
    assert Consul(f"http://[::1]:{agent.port}", deadline=20.0).leader() == "it"


def test_trap_unix_socket(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    agent = made(Unix, str(tmp_path / "agent"))
    address = f"unix://{tmp_path}/agent"
    monkeypatch.setenv("CONSUL_HTTP_ADDR", address)
    assert theirs().http.base_uri.startswith("http://unix")
    monkeypatch.delenv("CONSUL_HTTP_ADDR")
    assert Consul(address, deadline=20.0).leader() == "it"
    assert agent.asked == [("/v1/status/leader", None)]


def test_trap_the_timeout(made: Made) -> None:
    """It cuts a blocking query short: ours has its wait on top. One that is silent is one clear error."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(OSError, match="timed out") as caught:
            theirs(host="127.0.0.1", port=port, timeout=0.2).kv.get("x", index=1, wait="10m")
        assert type(caught.value).__name__ == "ReadTimeout"
        with pytest.raises(ConsulError, match=r"no answer within 0\.2 s"):
            Consul(f"127.0.0.1:{port}", deadline=0.2).get("/v1/kv/x")
        with pytest.raises(ConsulError, match=r"no answer within 1\.2625 s"):
            Consul(f"127.0.0.1:{port}", deadline=0.2).get("/v1/kv/x", after=1, wait=1)


def test_trap_deprecation_warnings(made: Made) -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert Consul(f"127.0.0.1:{made().port}", deadline=20.0).leader() == "it"
    assert [str(each.message) for each in told if issubclass(each.category, DeprecationWarning)] == []


def test_trap_a_proxy(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, agent = made(), made()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    theirs(host="127.0.0.1", port=agent.port).status.leader()
    assert (len(proxy.asked), len(agent.asked)) == (1, 0)
    assert Consul(f"127.0.0.1:{agent.port}", deadline=20.0).leader() == "it"
    assert (len(proxy.asked), len(agent.asked)) == (1, 1)


def test_the_environment_is_as_it_was(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """consul-template, that `run` starts, reads it too."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "true")
    before = dict(os.environ)
    Consul(f"127.0.0.1:{made().port}")
    assert dict(os.environ) == before


def test_a_ca_file_is_read_at_each_connection(made: Made, tmp_path: Path) -> None:
    """The CA is rotated: first both, then the agent's new certificate, then the new one alone."""
    old, new, agent = Authority(tmp_path / "old", "old"), Authority(tmp_path / "new", "new"), made()
    ca = tmp_path / "ca.pem"
    ca.write_text(old.certificate.read_text())
    client = Consul(f"https://127.0.0.1:{agent.port}", ca_file=str(ca))
    speak_tls(agent, new, tmp_path / "agent")
    with pytest.raises(ConsulError, match="its certificate is of no authority in"):
        client.get("/v1/status/leader")
    ca.write_text(old.certificate.read_text() + new.certificate.read_text())
    assert client.leader() == "it"
    ca.write_text(new.certificate.read_text())
    assert client.leader() == "it"
