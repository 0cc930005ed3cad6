"""The status page: taken on the decision thread, made into HTML on the server's."""

import time
from dataclasses import dataclass
from http import HTTPStatus

from consul_kam.adapters.http import Make
from consul_kam.adapters.http_wire import Response
from consul_kam.app import views
from consul_kam.app.engine import Engine
from consul_kam.app.freshness import Freshness
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.node import Node
from consul_kam.app.ordering import Ordering
from consul_kam.app.page_html import Shown, page
from consul_kam.app.page_style import headers
from consul_kam.core.vitals import Vitals

OLD = 60.0
"""Seconds after which Consul is asked again, while somebody looks at the page: it costs a run of consul-template."""


@dataclass
class Page:
    """Read only: nothing that is asked here changes anything, but that Consul may be asked. `acts`: it has a form."""

    engine: Engine
    heartbeat: Heartbeat
    ordering: Ordering
    node: Node
    freshness: Freshness
    acts: bool = False
    _asked: float = float("-inf")

    def look(self, vitals: Vitals) -> Make:
        """On the decision thread."""
        now = time.time()
        if time.monotonic() - self._asked > OLD:
            self._asked = time.monotonic()
            self.freshness.ask(lambda looked: None)
        lists = [views.status(lane, self.freshness.last, self.ordering) for lane in self.engine.lanes.values()]
        shown = Shown(
            now, vitals, self.heartbeat.trouble, lists, self.node.status(), self.engine.reporter.recent, self.acts
        )
        return lambda: html(shown)


def html(shown: Shown) -> Response:
    """The response."""
    return Response(
        HTTPStatus.OK, page(shown).encode("utf-8", "replace"), "text/html; charset=utf-8", headers(shown.acts)
    )
