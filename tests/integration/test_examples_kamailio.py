"""examples/kamailio as they stand, on each Kamailio: calls go from sipp through SBC and router to a gateway."""

import http.client
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from consul_kam.config import load
from tests.lab import VERSIONS, Calls, Lab, Process, Sipp, Uas, free_port, wait_for
from tests.lab.example import EXAMPLES, Example

every_version = pytest.mark.parametrize("version", VERSIONS)
WITH_RTPENGINE = "#!define WITH_RTPENGINE\n"


class Way:
    """SBC and router, each with its Kamailio; `first`: URIs that the SBC tries before the router."""

    def __init__(self, stack: ExitStack, directory: Path, version: str, first: list[str], define: str = "") -> None:
        self._directory = directory
        self.gateway = stack.enter_context(Uas())
        gateways = [f"2 {self.gateway.uri} 0 10"]
        self.router = stack.enter_context(Example(directory / "router", "router", version, gateways, define))
        routers = [*(f"1 {uri} 0 {20 - n}" for n, uri in enumerate(first)), f"1 {self.router_uri} 0 1"]
        self.sbc = stack.enter_context(Example(directory / "sbc", "sbc", version, routers, define))

    @property
    def router_uri(self) -> str:
        return f"sip:127.0.0.1:{self.router.sip_port}"

    def call(self, calls: int) -> Calls:
        with Sipp(self._directory / "sipp", self.sbc.sip_port, rate=10, calls=calls) as sipp:
            return sipp.wait(60)


@contextmanager
def way(directory: Path, version: str, *first: str, define: str = "") -> Iterator[Way]:
    for name in ("router", "sbc"):
        (directory / name).mkdir()
    with Lab(directory), ExitStack() as stack:
        yield Way(stack, directory, version, list(first), define)


def request(method: str, uri: str, to: int, *more: str, tag: str = "", body: str = "") -> bytes:
    """A request from a socket of ours, as text; `more`: further headers, `tag`: of To, `body`: SDP."""
    branch = free_port()
    lines = [f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP 127.0.0.1:{to};branch=z9hG4bK{branch};rport", *more]
    lines += [f"From: <sip:a@127.0.0.1>;tag={branch}", f"To: <{uri}>{tag and ';tag=' + tag}", f"Call-ID: {branch}@lab"]
    lines += [f"CSeq: 1 {method}", f"Contact: <sip:a@127.0.0.1:{to}>", "Max-Forwards: 70"]
    lines += ["Content-Type: application/sdp"] if body else []
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


def final(client: socket.socket) -> int:
    """The status of the first final reply."""
    while True:
        status = int(client.recv(65535).split(b" ", 2)[1])
        if status >= 200:
            return status


@contextmanager
def phone(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.bind(("127.0.0.1", 0))
        client.connect(("127.0.0.1", port))
        yield client


def asked(port: int, method: str, uri: str, *more: str, tag: str = "") -> int:
    with phone(port) as client:
        client.send(request(method, uri, client.getsockname()[1], *more, tag=tag))
        return final(client)


def page(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("define", ["", WITH_RTPENGINE, "#!define WITH_BIG_LISTS\n"])
@pytest.mark.parametrize("role", ["sbc", "router"])
@every_version
def test_kamailio_accepts_it(tmp_path: Path, version: str, role: str, define: str) -> None:
    kam = Example(tmp_path, role, version, define=define)
    try:
        done = subprocess.run([kam.found.kamailio, "-c", "-f", kam.cfg, "-Y", kam.run], capture_output=True, text=True)
    finally:
        kam.close()
    assert done.returncode == 0, done.stderr
    assert " ERROR:" not in done.stderr + done.stdout
    assert " WARNING:" not in done.stderr + done.stdout


@pytest.mark.parametrize("role", ["sbc", "router"])
def test_its_consul_kam_toml_is_valid_and_names_the_same_files(role: str) -> None:
    settings = load(str(EXAMPLES / f"{role}.toml"))
    text = (EXAMPLES / "common.cfg").read_text()
    assert settings.node.role == role
    for each in settings.enabled:
        assert each.file is not None
        assert str(each.file if each.name == "dispatcher" else each.file.parent) + '"' in text


@every_version
def test_a_call_goes_through_sbc_and_router(tmp_path: Path, version: str) -> None:
    with way(tmp_path, version) as road:
        calls = road.call(20)
        assert (calls.successful, calls.failed) == (20, 0)
        assert road.gateway.calls == 20 <= road.gateway.requests["BYE"]
        wait_for("no dialog left", lambda: _dialogs(road) == [0, 0], 10)


def _dialogs(road: Way) -> list[object]:
    """Confirmed dialogs of SBC and router."""
    return [kam.rpc.call("dlg.stats_active")[0].get("all") for kam in (road.sbc, road.router)]  # type: ignore[attr-defined]


@every_version
def test_a_router_that_is_dead_is_passed_over(tmp_path: Path, version: str) -> None:
    dead = f"sip:127.0.0.1:{free_port()}"
    with way(tmp_path, version, dead) as road:
        calls = road.call(10)
        assert (calls.successful, calls.failed, road.gateway.calls) == (10, 0, 10)
        found = {d.uri: d.flags for d in road.sbc.rpc.dispatcher()[1]}
        assert found == {dead: "IP", road.router_uri: "AX"}, "two silences are enough; nobody is asked by a ping here"


@pytest.mark.parametrize("status", ["408 Request Timeout", "500 Server Error", "503 Service Unavailable"])
@every_version
def test_a_router_that_cannot_is_passed_over(tmp_path: Path, version: str, status: str) -> None:
    with Uas() as cannot, way(tmp_path, version, cannot.uri) as road:
        cannot.status = status
        calls = road.call(10)
        assert (calls.successful, calls.failed, road.gateway.calls, cannot.calls) == (10, 0, 10, 10)


@every_version
def test_what_the_called_one_says_is_final(tmp_path: Path, version: str) -> None:
    with Uas() as busy, way(tmp_path, version, busy.uri) as road:
        busy.status = "486 Busy Here"
        assert asked(road.sbc.sip_port, "INVITE", f"sip:a@127.0.0.1:{road.sbc.sip_port}") == 486
        assert road.gateway.calls == 0


@every_version
def test_who_rang_is_not_called_twice(tmp_path: Path, version: str) -> None:
    with phone_that_rings() as (rings, uri), way(tmp_path, version, uri) as road, phone(road.sbc.sip_port) as client:
        client.send(request("INVITE", f"sip:a@127.0.0.1:{road.sbc.sip_port}", client.getsockname()[1]))
        invite, sbc = rings.recvfrom(65535)
        rings.sendto(answer(invite, "180 Ringing"), sbc)
        while b" 180 " not in client.recv(65535):  # two workers of Kamailio's might take them in the other order
            pass
        rings.sendto(answer(invite, "408 Request Timeout"), sbc)
        assert final(client) == 408
        assert road.gateway.calls == 0


@contextmanager
def phone_that_rings(address: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[socket.socket, str]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rings:
        rings.settimeout(10)
        rings.bind((address, port or free_port()))
        yield rings, f"sip:{address}:{rings.getsockname()[1]}"


def answer(invite: bytes, status: str, body: str = "") -> bytes:
    copied = (b"via", b"from", b"call-id", b"cseq", b"record-route")
    lines = [line for line in invite.split(b"\r\n") if line.split(b":")[0].lower() in copied]
    (to,) = (line for line in invite.split(b"\r\n") if line.lower().startswith(b"to:"))
    lines += [to + b";tag=r", b"Contact: <sip:r@127.0.0.1>"]
    lines += [b"Content-Type: application/sdp"] if body else []
    lines += [b"Content-Length: %d" % len(body), b"", body.encode()]
    return b"\r\n".join([b"SIP/2.0 " + status.encode(), *lines])


@every_version
def test_who_is_let_in(tmp_path: Path, version: str) -> None:
    with way(tmp_path, version) as road:
        sbc, victim = road.sbc.sip_port, free_port()
        assert asked(sbc, "OPTIONS", f"sip:127.0.0.1:{sbc}") == 200
        assert asked(sbc, "REGISTER", "sip:127.0.0.1") == 405
        assert asked(sbc, "INVITE", "sip:a@example.org") == 403, "no domain of ours"
        assert asked(road.router.sip_port, "INVITE", "sip:a@example.org") == 403
        route = f"Route: <sip:127.0.0.1:{sbc};lr>"
        assert asked(sbc, "BYE", f"sip:a@127.0.0.1:{victim}", route, tag="x") == 403, "to no router"
        assert asked(sbc, "BYE", f"sip:a@127.0.0.1:{road.gateway.port}", route, tag="x") == 403
        further = f"Route: <{road.router_uri};lr>"
        assert asked(sbc, "BYE", f"sip:a@127.0.0.1:{road.gateway.port}", route, further, tag="x") == 200
        assert [page(road.sbc.http_port, path) for path in ("/status", "/RPC")] == [200, 404]
        assert page(sbc, "/status") == 403, "the SIP port is the world's"


@every_version
def test_a_router_at_port_5060_is_one_of_the_list_without_its_port(tmp_path: Path, version: str) -> None:
    """As rr writes its Record-Route there, so as the caller's BYE names it."""
    high, low = divmod(free_port(), 256)
    address = f"127.50.{high}.{low}"
    with (
        phone_that_rings(address, 5060) as (router, uri),
        Lab(tmp_path),
        Example(tmp_path, "sbc", version, [f"1 {uri} 0 1"]) as sbc,
        phone(sbc.sip_port) as client,
    ):
        way_back = [f"Route: <sip:127.0.0.1:{sbc.sip_port};lr>", f"Route: <sip:{address};lr>"]
        client.send(request("BYE", "sip:a@127.0.0.1", client.getsockname()[1], *way_back, tag="x"))
        bye, sender = router.recvfrom(65535)
        router.sendto(answer(bye, "200 OK"), sender)
        assert final(client) == 200


@every_version
def test_a_call_ends_through_a_router_that_drains(tmp_path: Path, version: str) -> None:
    with way(tmp_path, version) as road:
        sbc = road.sbc.sip_port
        road.sbc.rpc.call("dispatcher.set_state", "dx", 1, road.router_uri)
        way_back = [f"Route: <sip:127.0.0.1:{sbc};lr>", f"Route: <{road.router_uri};lr>"]
        assert asked(sbc, "BYE", f"sip:a@127.0.0.1:{road.gateway.port}", *way_back, tag="x") == 200
        assert asked(sbc, "INVITE", f"sip:a@127.0.0.1:{sbc}") == 503, "no new ones"


def sdp(port: int) -> str:
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=audio {port} RTP/AVP 8", ""]
    return "\r\n".join(lines)


def media(message: bytes) -> int:
    """The port that its SDP names."""
    (port,) = re.findall(rb"^m=audio (\d+) ", message, re.MULTILINE)
    return int(port)


@contextmanager
def rtpengine(directory: Path) -> Iterator[int]:
    """A real one; the port of its NG protocol."""
    ng, first = free_port(), 40_000
    listen = ["--interface=127.0.0.1", f"--listen-ng=127.0.0.1:{ng}", f"--port-min={first}", f"--port-max={first + 99}"]
    argv = ["rtpengine", "--config-file=none", "--table=-1", *listen, "--foreground", "--log-stderr"]
    daemon = Process(argv, directory / "rtpengine.log")
    try:
        with phone(ng) as client:
            client.settimeout(0.2)
            wait_for("RTPEngine", lambda: pinged(client), 20, daemon.log)
        yield ng
    finally:
        daemon.stop()


def pinged(client: socket.socket) -> bool:
    try:
        client.send(b"1 d7:command4:pinge")
        return b"pong" in client.recv(1024)
    except OSError:
        return False


@every_version
def test_media_goes_through_rtpengine(tmp_path: Path, version: str) -> None:
    ours, theirs = free_port(), free_port()
    with (
        rtpengine(tmp_path) as ng,
        phone_that_rings() as (called, uri),
        Lab(tmp_path),
        Example(tmp_path / "router", "router", version, [f"2 {uri} 0 1"], WITH_RTPENGINE, ng) as kam,
        phone(kam.sip_port) as client,
    ):
        to = f"sip:a@127.0.0.1:{kam.sip_port}"
        client.send(request("INVITE", to, client.getsockname()[1], body=sdp(ours)))
        invite = next(data for data, _ in iter(lambda: called.recvfrom(65535), None) if data[:6] == b"INVITE")
        assert media(invite) not in (ours, theirs)
        called.sendto(answer(invite, "200 OK", sdp(theirs)), ("127.0.0.1", kam.sip_port))
        ok = next(data for data in iter(lambda: client.recv(65535), None) if data[:11] == b"SIP/2.0 200")
        assert media(ok) not in (ours, theirs, media(invite))
