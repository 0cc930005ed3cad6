"""A Registrar with a decision thread of its own, as the engine has it, and a status page for Consul to ask."""

import http.server
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consul_kam import config
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_agent import ConsulAgent as Agent
from consul_kam.adapters.journal import Journal
from consul_kam.app.loop import Loop
from consul_kam.app.registration import Registrar
from consul_kam.app.reports import Reporter
from tests.lab import ConsulAgent, wait_for

NODE = """\
[node]
role = "{role}"
name = "host1"
state_dir = "{state}"
[registration]
address = "127.0.0.1"
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
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

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
        every: float = 0.5,
        more: str = "",
        role: str = "sbc",
    ) -> None:
        self.state = directory / "state"
        self.state.mkdir(parents=True, exist_ok=True)
        lines = f'check_url = "{url}"\n{lines}' if url else lines
        text = NODE.format(state=self.state, every=every, role=role, lines=lines)
        self.settings = config.parse(f'{text}[consul]\naddress = "{address}"\n{more}', "test", {})
        self.ready = False
        self._loop = Loop()
        self._journal = Journal(self.state / "journal.jsonl")
        self._reporter = Reporter(self._journal)
        given = self.settings.consul
        certificate = (given.cert_file, given.key_file) if given.cert_file else None
        self.registrar = Registrar(
            self._loop,
            self.settings,
            lambda: Agent(Consul(given.address, given.token_file, given.ca_file, certificate)),
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

    def crash(self) -> None:
        """Gone without a word to anybody."""
        self.on_the_loop(self.registrar.close)
        self._loop.post(self._loop.stop)
        self._thread.join(10)
        self._reporter.close()

    def __enter__(self) -> Self:
        self._thread.start()
        self._loop.post(self.registrar.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread.is_alive():
            self.crash()


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
