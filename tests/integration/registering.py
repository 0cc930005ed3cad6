"""A Registrar with a decision thread of its own, as the engine has it, and a status page for Consul to ask."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consul_kam import config
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_agent import ConsulAgent as Agent
from consul_kam.adapters.identity import files_of
from consul_kam.adapters.journal import Journal
from consul_kam.app.loop import Loop
from consul_kam.app.registration import Registrar
from consul_kam.app.reports import Reporter
from tests.lab import ConsulAgent, wait_for

NODE = """\
[node]
role = "{role}"
name = "{name}"
state_dir = "{state}"
[registration]
address = "{place}"
every = {every}
{lines}
"""


class Page:
    """Kamailio's `/status`, well or not."""

    def __init__(self) -> None:
        self.well = True
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200 if page.well else 500)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/status"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Registered:
    """`with Registered(tmp_path, consul.address, page.url) as node:`; `lines`: more of [registration]."""

    def __init__(
        self,
        directory: Path,
        address: str,
        url: str,
        lines: str = "",
        *,
        every: float = 0.5,
        more: str = "",
        role: str = "sbc",
        name: str = "host1",
        place: str = "127.0.0.1",
        drain: str = "",
    ) -> None:
        """`place`: the node's own address; `more`: of [consul]; `drain`: one that is under way when it starts."""
        self.state = directory / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        lines = f'check_url = "{url}"\n{lines}' if url else lines
        text = NODE.format(state=self.state, every=every, role=role, name=name, place=place, lines=lines)
        self.settings = config.parse(f'{text}[consul]\naddress = "{address}"\n{more}', "test", {})
        self.ready, self._drain = False, drain
        self._loop = Loop()
        self._journal = Journal(self.state / "journal.jsonl")
        self._reporter = Reporter(self._journal)
        given = self.settings.consul
        self.registrar = Registrar(
            self._loop,
            self.settings,
            lambda: Agent(Consul(given.address, given.token_file, given.ca_file, files_of(given))),
            lambda: self.ready,
            self._reporter,
        )
        self._thread = threading.Thread(target=self._loop.run, args=(lambda: None,))

    def set_ready(self, ready: bool) -> None:
        self.ready = ready
        self._loop.post(self.registrar.changed)

    def status(self) -> dict[str, Any]:
        return self.on_the_loop(self.registrar.status)

    def on_the_loop(self, call: Callable[[], Any]) -> Any:
        got: list[Any] = []
        done = threading.Event()
        self._loop.post(lambda: (got.append(call()), done.set()))
        assert done.wait(10)
        return got[0]

    def leave(self) -> float:
        """Seconds until it said that it had left."""
        began, left = time.monotonic(), threading.Event()
        self._loop.post(lambda: self.registrar.leave(left.set))
        assert left.wait(10)
        return time.monotonic() - began

    def wait(self, what: str, probe: Callable[[dict[str, Any]], object], timeout: float = 15.0) -> dict[str, Any]:
        wait_for(f"{what}, last {self.status()}", lambda: probe(self.status()), timeout)
        return self.status()

    def journal(self) -> list[dict[str, Any]]:
        return self._journal.tail(1000)

    def was_registered(self, times: int, timeout: float = 15.0) -> None:
        """Until the journal says for so many times that it was registered, or put right."""
        wait_for(
            f"{times} registrations in {self._journal.tail(1000)}",
            lambda: len([entry for entry in self.journal() if entry["event"] == "registered"]) >= times,
            timeout,
        )

    def crash(self) -> None:
        """Gone without a word to anybody."""
        self.on_the_loop(self.registrar.close)
        self._loop.post(self._loop.stop)
        self._thread.join(10)
        self._reporter.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.post(lambda: (self.registrar.start(), self.registrar.drain(self._drain)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.crash()


class Balancer:
    """A TCP port in front of one agent or another, as a load balancer; `switch` ends the connections that there are."""

    def __init__(self, consul: ConsulAgent) -> None:
        self._to = consul
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def switch(self, consul: ConsulAgent) -> None:
        self._to, ended = consul, self._open
        self._open = []
        for each in ended:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.close()
        self.switch(self._to)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with contextlib.suppress(OSError):
                    agent = socket.create_connection(("127.0.0.1", self._to.port), 5)
                    self._open += [client, agent]
                    for one, other in ((client, agent), (agent, client)):
                        threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := one.recv(65536):
            other.sendall(chunk)
        other.shutdown(socket.SHUT_RDWR)


def known(consul: ConsulAgent, id: str = "host1") -> dict[str, Any] | None:
    """What the agent has under an ID."""
    status, found = consul.request("GET", f"/v1/agent/service/{id}")
    return found if status == 200 and isinstance(found, dict) else None


def checks(consul: ConsulAgent, id: str = "host1") -> dict[str, dict[str, Any]]:
    found = consul.ask("GET", "/v1/agent/checks")
    assert isinstance(found, dict)
    return {name: check for name, check in found.items() if check["ServiceID"] == id}


def statuses(consul: ConsulAgent, id: str = "host1") -> dict[str, str]:
    """Check ID -> status, less `service:ID`."""
    return {name.removeprefix(f"service:{id}"): check["Status"] for name, check in checks(consul, id).items()}


def passing(consul: ConsulAgent, name: str = "sbc") -> list[tuple[str, str, int]]:
    """(node, address, port) of those that a client of Consul would call."""
    status, found = consul.request("GET", f"/v1/health/service/{name}?passing")
    rows = found if status == 200 and isinstance(found, list) else []
    return sorted((r["Node"]["Node"], r["Service"]["Address"], r["Service"]["Port"]) for r in rows)
