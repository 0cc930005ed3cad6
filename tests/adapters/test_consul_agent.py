"""What an agent says, however strange, is a look or one clear error; the real one is met in tests/integration."""

import contextlib
import http.server
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_agent import ConsulAgent, seconds
from consul_kam.core.registered import (
    Check,
    ClearMaintenance,
    Deregister,
    DropCheck,
    FeedTtl,
    Forget,
    Instance,
    Register,
    Row,
    Seen,
    Service,
)
from consul_kam.errors import ConsulError, ConsulRefused, ConsulUnreachable

SERVICE = {
    "ID": "a",
    "Service": "sbc",
    "Tags": ["y", "x", "x"],
    "Address": "10.0.0.1",
    "Port": 5060,
    "Meta": {"k": "v"},
}
CHECK = {"Node": "lab", "CheckID": "c", "Status": "passing", "Type": "http", "Notes": "n", "Output": "o"}
CHECK |= {"Interval": "1m0.5s", "Timeout": "250ms"}
ROW = {
    "Node": "lab",
    "Address": "10.0.0.9",
    "ServiceID": "a",
    "ServiceName": "sbc",
    "ServiceAddress": "",
    "ServicePort": 1,
}
SELF = {"Config": {"NodeName": "lab"}}
ANSWERS = {"service": SERVICE, "checks": {"c": CHECK}, "catalog": [ROW], "self": SELF, "health": []}
EXPECTED = Service("a", "sbc", ("x", "y"), "10.0.0.1", 5060, (("k", "v"),), 1)


class Stand:
    """An agent that answers what a test says: (status, body, headers) by the kind of path."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = dict(ANSWERS)
        self.asked: list[tuple[str, str, Any]] = []
        stand = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                stand.asked.append((self.command, self.path, json.loads(body) if body else None))
                answer = stand.answers[stand.kind(self.path)]
                status, text, headers = answer if isinstance(answer, tuple) else (200, json.dumps(answer), {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text if isinstance(text, bytes) else text.encode())

            do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def kind(path: str) -> str:
        kinds = {"service/": "service", "checks": "checks", "self": "self"}
        if path.startswith("/v1/agent/"):
            return next((kind for word, kind in kinds.items() if path[10:].startswith(word)), "put")
        return "catalog" if path.startswith("/v1/catalog/service") else path.split("/")[2]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    opened = Stand()
    yield opened
    opened.close()


def agent(stand: Stand) -> ConsulAgent:
    return ConsulAgent(Consul(stand.address, deadline=20.0))


def test_a_look(stand: Stand) -> None:
    check = Check("c", "passing", "http", "n", "o", 60.5, 0.25)
    row = Row("lab", Service("a", "sbc", (), "10.0.0.9", 1))
    assert agent(stand).look("a", "sbc") == Seen("lab", EXPECTED, (check,), None, (row,), None)
    assert [path for _, path, _ in stand.asked] == [
        "/v1/agent/service/a",
        "/v1/agent/checks?filter=ServiceID+%3D%3D+%22a%22+or+CheckID+%3D%3D+%22_node_maintenance%22",
        "/v1/catalog/service/sbc?filter=ServiceID+%3D%3D+%22a%22",
    ]


def test_what_is_not_there(stand: Stand) -> None:
    stand.answers |= {"service": (404, "unknown service ID", {}), "checks": {}, "catalog": []}
    assert agent(stand).look("a", "sbc", old="b") == Seen("lab", None, (), None, (), None)
    assert agent(stand).look("a", "sbc", catalog=False).catalog is None


@pytest.mark.parametrize(
    ("health", "lives"),
    [
        ([{"CheckID": "serfHealth", "Status": "passing"}], True),
        ([{"CheckID": "serfHealth", "Status": "critical"}], False),
        ([], False),
        ([{"CheckID": "service:a", "Status": "passing"}], None),
        ((500, "No cluster leader", {}), None),
        ((200, "[]", {"X-Consul-Results-Filtered-By-ACLs": "true"}), None),
        (
            (200, '[{"CheckID": "serfHealth", "Status": "passing"}]', {"X-Consul-Results-Filtered-By-ACLs": "true"}),
            True,
        ),
    ],
)
def test_whether_the_pinned_agent_lives(health: object, lives: bool | None, stand: Stand) -> None:
    stand.answers["health"] = health
    assert agent(stand).look("a", "sbc", pinned="other").pinned_lives is lives
    assert agent(stand).look("a", "sbc", pinned="lab").pinned_lives is None


@pytest.mark.parametrize(
    "catalog",
    [(500, "No cluster leader", {}), (403, "no", {}), (200, "[]", {"X-Consul-Results-Filtered-By-ACLs": "true"})],
)
def test_a_catalog_that_nobody_can_read_is_not_an_empty_one(catalog: object, stand: Stand) -> None:
    stand.answers["catalog"] = catalog
    assert agent(stand).look("a", "sbc").catalog is None


def test_an_agent_that_may_not_say_who_it_is(stand: Stand) -> None:
    stand.answers |= {"checks": {}, "self": (403, "Permission denied", {})}
    assert agent(stand).look("a", "sbc").node == ""
    stand.answers["self"] = (500, "broken", {})
    with pytest.raises(ConsulRefused, match=r"cannot get /v1/agent/self at .*: 500 broken"):
        agent(stand).look("a", "sbc")


STRANGE: Mapping[str, tuple[str, object]] = {
    "no JSON": ("service", (200, "<html>", {})),
    "deep JSON": ("service", (200, "[" * 100_000, {})),
    "a list": ("service", []),
    "no ID": ("service", {k: v for k, v in SERVICE.items() if k != "ID"}),
    "a port in words": ("service", SERVICE | {"Port": "5060"}),
    "tags of another kind": ("service", SERVICE | {"Tags": "x"}),
    "meta of another kind": ("service", SERVICE | {"Meta": [1]}),
    "weights of another kind": ("service", SERVICE | {"Weights": {"Passing": None}}),
    "checks in a list": ("checks", [CHECK]),
    "a check in words": ("checks", {"c": "passing"}),
    "a check without status": ("checks", {"c": CHECK | {"Status": None}}),
    "checks nowhere": ("checks", (404, "not here", {})),
    "a catalog of another kind": ("catalog", {"a": 1}),
    "a row of another kind": ("catalog", ["x"]),
    "an error": ("service", (500, "rpc error\nin two lines", {})),
    "a redirect": ("service", (302, "", {"Location": "http://127.0.0.1:1/"})),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_answer_is_one_clear_line(name: str, stand: Stand) -> None:
    kind, answer = STRANGE[name]
    stand.answers[kind] = answer
    with pytest.raises(ConsulError) as caught:
        agent(stand).look("a", "sbc")
    assert str(caught.value).startswith("cannot ")
    assert "\n" not in str(caught.value)


def test_durations_as_go_writes_them() -> None:
    said = {"10s": 10.0, "1m0s": 60.0, "1h0m0.5s": 3600.5, "250ms": 0.25, "1.5µs": 2e-6, "": 0.0, "soon": 0.0}
    assert {text: seconds(text) for text in said} == said


def test_what_is_done(stand: Stand) -> None:
    stand.answers |= {"put": (200, "", {}), "service": (200, "", {}), "catalog": True}
    actions = (
        Register({"ID": "a"}),
        DropCheck("service:a"),
        FeedTtl("service:a:ttl", "passing"),
        FeedTtl("service:a:ttl", "critical"),
        ClearMaintenance("a"),
        Deregister("a"),
    )
    stand.answers["deregister"] = True
    for action in actions:
        agent(stand).do(action)
    assert stand.asked == [
        ("PUT", "/v1/agent/service/register", {"ID": "a"}),
        ("PUT", "/v1/agent/check/deregister/service:a", None),
        ("PUT", "/v1/agent/check/update/service:a:ttl", {"Status": "passing", "Output": "ready"}),
        ("PUT", "/v1/agent/check/update/service:a:ttl", {"Status": "critical", "Output": "not ready"}),
        ("PUT", "/v1/agent/service/maintenance/a?enable=false", None),
        ("PUT", "/v1/agent/service/deregister/a", None),
    ]


def test_what_is_gone_already_is_no_error_where_it_shall_go(stand: Stand) -> None:
    stand.answers |= {"put": (404, "Unknown", {}), "service": (404, "Unknown", {}), "deregister": (404, "Unknown", {})}
    for action in (DropCheck("c"), ClearMaintenance("a"), Deregister("a")):
        agent(stand).do(action)
    for other in (Register({}), FeedTtl("c", "passing")):
        with pytest.raises(ConsulRefused, match="404 Unknown"):
            agent(stand).do(other)


def test_out_of_the_catalog(stand: Stand) -> None:
    stand.answers["catalog"] = True
    agent(stand).do(Forget("lab", "a"))
    assert stand.asked == [("PUT", "/v1/catalog/deregister", {"Node": "lab", "ServiceID": "a"})]


def test_a_kept_connection_that_died_is_no_failure() -> None:
    """As after each restart of an agent."""
    server = socket.create_server(("127.0.0.1", 0))
    answers = [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]

    def serve() -> None:
        for _ in range(2):  # one answer a connection, which then ends without a word
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(answers[0])
            connection.recv(65536)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    consul = Consul(f"127.0.0.1:{server.getsockname()[1]}", deadline=20.0)
    assert [consul.get("/v1/agent/service/a").code for _ in range(2)] == [404, 404]
    server.close()


def unreachable(consul: Consul) -> str:
    with pytest.raises(ConsulUnreachable) as caught:
        consul.get("/v1/agent/self")
    return str(caught.value)


def test_nobody_there_and_a_silent_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        said = unreachable(Consul(where, deadline=0.1))
        assert said == f"cannot reach Consul at {where}: no answer within 0.1 s"
    assert unreachable(Consul(where, deadline=1.0)) == f"cannot reach Consul at {where}: Connection refused"
    path = tmp_path / "silent"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        consul = Consul(f"unix://{path}", deadline=0.1)
        with pytest.raises(ConsulUnreachable, match=r"no answer within 0\.3125 s"):
            consul.get("/v1/kv/x", after=1, wait=0.2)
        assert unreachable(consul) == f"cannot reach Consul at unix://{path}: no answer within 0.1 s"
    gone = f"unix://{tmp_path}/none"
    assert unreachable(Consul(gone)) == f"cannot reach Consul at {gone}: No such file or directory"


@pytest.mark.parametrize("answer", [b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", b""])
def test_no_http_over_a_unix_socket(answer: bytes, tmp_path: Path) -> None:
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "s"))
    server.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    assert unreachable(Consul(f"unix://{tmp_path}/s")).startswith(f"cannot reach Consul at unix://{tmp_path}/s: ")
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.mark.parametrize("address", ["ftp://127.0.0.1", "127.0.0.1:port", "http://[::1"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ConsulError, match="cannot use Consul's address"):
        Consul(address).get("/v1/agent/self")


def test_the_token_goes_to_nobody_else_and_the_environment_is_not_asked(
    stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Stand()
    monkeypatch.setenv("CONSUL_HTTP_ADDR", other.address)
    monkeypatch.setenv("http_proxy", f"http://{other.address}")
    (tmp_path / "token").write_text("secret\n")
    consul = Consul(stand.address, str(tmp_path / "token"), deadline=20.0)
    stand.answers["self"] = (302, "", {"Location": f"http://{other.address}/v1/agent/self"})
    assert "redirects" in unreachable(consul)
    assert (len(stand.asked), other.asked) == (1, [])
    other.close()


@pytest.mark.parametrize("content", [b"\xff", b"two\nlines", b"x" * 5000, b"", b" \n", None])
def test_a_token_file_that_is_none(content: bytes | None, stand: Stand, tmp_path: Path) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConsulError) as caught:
        Consul(stand.address, str(path)).get("/v1/agent/self")
    assert str(caught.value).startswith("cannot ")
    assert stand.asked == []


# ---- who else there is


def entry(id: str, *checks: tuple[str, str]) -> dict[str, Any]:
    told = [{"CheckID": name, "Status": status, "Notes": "by hand"} for name, status in checks]
    return {"Node": {"Node": "lab"}, "Service": {"ID": id}, "Checks": told}


def test_instances_and_why_one_does_not_pass(stand: Stand) -> None:
    stand.answers["health"] = [
        entry("c", ("serfHealth", "passing"), ("_service_maintenance:c", "critical"), ("x", "critical")),
        entry("b", ("serfHealth", "passing"), ("service:b", "warning")),
        entry("a", ("serfHealth", "passing")),
        entry("d", ("_node_maintenance", "critical")),
    ]
    assert agent(stand).instances("sbc") == (
        Instance("a", "lab", True),
        Instance("b", "lab", False, "service:b is warning"),
        Instance("c", "lab", False, "maintenance: by hand"),
        Instance("d", "lab", False, "maintenance: by hand"),
    )
    assert stand.asked[-1][1] == "/v1/health/service/sbc"


def test_instances_that_acls_hide_are_an_error_not_fewer(stand: Stand) -> None:
    """Else the last one that passes would leave, as its peers that are down are not seen."""
    stand.answers["health"] = (200, json.dumps([entry("a")]), {"X-Consul-Results-Filtered-By-ACLs": "true"})
    with pytest.raises(ConsulError, match="cannot see all of service sbc: Consul's ACLs hide some of service sbc"):
        agent(stand).instances("sbc")


def test_a_look_tells_one_token_from_another_and_not_which(stand: Stand, tmp_path: Path) -> None:
    file, marks = tmp_path / "token", []
    client = ConsulAgent(Consul(stand.address, str(file), deadline=20.0))
    for token in ("11111111-aaaa", "22222222-aaaa", "11111111-aaaa\n"):
        file.write_text(token)
        marks.append(client.look("a", "sbc").token)
        assert token[:8] not in marks[-1]
    assert marks[0] == marks[2] != marks[1]
    assert agent(stand).look("a", "sbc").token == ""


@pytest.mark.parametrize("answer", [{}, [1], [entry("a") | {"Checks": None}], [{"Node": {"Node": "lab"}}]])
def test_strange_instances_are_one_clear_error(stand: Stand, answer: Any) -> None:
    stand.answers["health"] = answer
    with pytest.raises(ConsulError, match="cannot understand Consul"):
        agent(stand).instances("sbc")
