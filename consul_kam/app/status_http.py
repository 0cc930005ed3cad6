"""`/`, `/livez`, `/readyz` and `/metrics`: joins the HTTP server's thread and the decision thread.

The server's thread never touches the engine: it posts, and the decision thread takes one immutable look for all who ask
meanwhile. What is made of it is made on the server's thread again. Where the decision thread does not answer in time,
/livez says so: 503.
"""

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from consul_kam.adapters import http
from consul_kam.adapters.control import Handle
from consul_kam.adapters.http import Answer, Make, Secure, Server
from consul_kam.adapters.http_address import CannotListen, address
from consul_kam.adapters.http_wire import Request, Response, refusal
from consul_kam.app.engine import Engine
from consul_kam.app.freshness import Freshness
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.loop import Loop
from consul_kam.app.node import Node
from consul_kam.app.ordering import Ordering
from consul_kam.app.page import Page
from consul_kam.app.page_acts import Act, Acts
from consul_kam.app.vitals import Look, Parts
from consul_kam.config import Settings
from consul_kam.core.vitals import Spread, Vitals
from consul_kam.errors import ConfigError

DEADLINE = 2.0
"""Seconds that the decision thread has for an answer."""
BEAT = 1.0
"""Seconds between two looks at how late the decision thread is."""
LAGS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
STUCK = f"the decision thread gave no answer within {DEADLINE:g} s"


class StatusHttp:
    """`start` and `close` on the decision thread. `look` takes the vitals there, given how late it was so far."""

    def __init__(
        self,
        loop: Loop,
        look: Callable[[Spread], Vitals],
        listen: str,
        named: bool,
        name: str,
        page: Callable[[Vitals], Make] | None = None,
        act: Act | None = None,
        secure: Secure | None = None,
    ) -> None:
        """`listen`: as [http] listen; `named`: whether the file says so; `name`: the node's.

        `page`: looks for the status page, on the decision thread; what it returns is called on the server's.
        `secure`: gives the newest TLS context; None: without TLS.
        `act`: takes the page's forms, on the server's thread; None: it is read only.
        """
        self._page, self._act, self._secure = page, act, secure
        self._loop, self._look, self._listen, self._named, self._name = loop, look, listen, named, name
        self._lag = Spread.over(LAGS)
        self._lock = threading.Lock()
        self._asked = False
        # As many as there are clients: whoever falls out has gone.
        self._waiting: deque[tuple[Request, Answer]] = deque(maxlen=http.MAX_CLIENTS)
        self._server: Server | None = None

    def start(self, warn: Callable[[str], None]) -> None:
        """Listen, where that is wanted. One who cannot at the default address goes on without, and says so to `warn`.

        Raises ConfigError where the file names the address.
        """
        if not self._listen:
            return
        names = (socket.gethostname(), self._name)
        try:
            where, forms = address(self._listen), self._act is not None
            self._server = Server(where, self.handle, names, DEADLINE, late, forms, self._secure)
        except CannotListen as error:
            if self._named:
                raise ConfigError(str(error)) from None
            warn(f"{error}: /livez, /readyz and /metrics are not served")
        else:
            self._beat(time.monotonic())

    def close(self) -> None:
        """Listen no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def handle(self, request: Request, answer: Answer) -> None:
        """From the server's thread: never blocks."""
        if request.path not in PAGES and not (self._page and request.path == PAGE):
            there = ", ".join((*([PAGE] if self._page else []), *PAGES))
            answer(lambda: refusal(HTTPStatus.NOT_FOUND, f"cannot find {request.path}: expected one of {there}"))
            return
        if request.method == "POST":
            self._post(request, answer)
            return
        with self._lock:
            self._waiting.append((request, answer))
            asked, self._asked = self._asked, True
        if not asked:
            self._loop.post(self._take)

    def _post(self, request: Request, answer: Answer) -> None:
        if self._act is None or request.path != PAGE:
            answer(lambda: refusal(HTTPStatus.METHOD_NOT_ALLOWED, f"cannot change {request.path}"))
        else:
            self._act(request.form, answer)

    def _take(self) -> None:
        """On the decision thread: one look for all who wait."""
        with self._lock:
            waiting, self._asked = list(self._waiting), False
            self._waiting.clear()
        vitals = self._look(self._lag)
        shown: Make | None = None
        for request, answer in waiting:
            if request.path == PAGE and self._page is not None:
                shown = shown or self._page(vitals)
                answer(shown)
            else:
                answer(lambda request=request: PAGES[request.path](vitals))  # type: ignore[misc]

    def _beat(self, due: float) -> None:
        """A timer tells how late the decision thread is."""
        now = time.monotonic()
        self._lag = self._lag.with_value(max(0.0, now - due))
        if self._server is not None:
            self._loop.at(now + BEAT, lambda: self._beat(now + BEAT))


def serve(
    engine: Engine,
    settings: Settings,
    heartbeat: Heartbeat,
    ordering: Ordering,
    node: Node,
    freshness: Freshness,
    do: Handle,
) -> None:
    """Serve the pages while the engine runs. Not before: whoever finds another engine says that first, and not that a
    port is taken. `do`: takes an operator's word. Raises ConfigError where the token cannot be used.
    """

    drain = node.draining.status if node.draining is not None else None
    certificates = node.certificates
    parts = Parts(
        node.health,
        node.supervisor.processes,
        lambda: node.waits_for,
        node.registrar.status,
        certificates.vitals,
        drain,
        node.secrets.vitals,
        node.environment.status,
    )
    look = Look(engine, settings, heartbeat, ordering, parts)
    name, listen, token = settings.node.name, settings.http.listen, settings.http.token_file
    later = "http.token_file" in settings.references.keys
    acts = Acts(token, listen, do, later) if token and listen else None
    page = Page(engine, heartbeat, ordering, node, freshness, acts is not None)
    act = acts.take if acts is not None else None
    secure = (lambda: node.certificates.server_context) if settings.http.cert_file else None
    web = StatusHttp(engine.loop, look.take, listen, settings.http_named, name, page.look, act, secure)
    engine.reporter.recall()
    engine.loop.post(lambda: web.start(engine.reporter.warn))
    engine.at_end.append(web.close)


def late(request: Request) -> Response:
    """What is said where the decision thread is stuck."""
    if request.method == "POST":
        text = f"it is asked for, and nobody answered within {DEADLINE:g} s: look again\n"
        return Response(HTTPStatus.ACCEPTED, text.encode(), "text/plain")
    if request.path == PAGE:
        return Response(HTTPStatus.SERVICE_UNAVAILABLE, f"cannot show this node: {STUCK}\n".encode(), "text/plain")
    bodies: Mapping[str, Mapping[str, Any]] = {
        "/livez": {"alive": False, "reason": STUCK},
        "/readyz": {"ready": False, "reasons": {"engine": STUCK}, "probes": {}},
    }
    return _json(False, bodies.get(request.path, {"error": f"cannot show {request.path}: {STUCK}"}))


def livez(vitals: Vitals) -> Response:
    """200 while the decision thread answers and the probes of level alive are well."""
    return _json(vitals.alive, {"alive": vitals.alive})


def readyz(vitals: Vitals) -> Response:
    """200 or 503; the reasons are for people, and in the body either way."""
    probes = {
        probe.name: {"healthy": probe.healthy, "since": probe.since, "reason": probe.reason, "took_seconds": probe.took}
        for probe in vitals.probes
    }
    return _json(vitals.ready, {"ready": vitals.ready, "reasons": dict(vitals.reasons), "probes": probes})


def exposition(vitals: Vitals) -> Response:
    """Prometheus' text. Who is never scraped never loads the library."""
    from consul_kam.adapters import metrics

    return Response(HTTPStatus.OK, metrics.text(vitals), metrics.CONTENT_TYPE)


PAGE = "/"
PAGES: Mapping[str, Callable[[Vitals], Response]] = {"/livez": livez, "/readyz": readyz, "/metrics": exposition}


def _json(good: bool, body: Mapping[str, Any]) -> Response:
    return Response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, json.dumps(body).encode() + b"\n")
