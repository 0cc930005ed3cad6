"""Before Kamailio's first start: does anybody know what it shall hold? Consul has `boot_timeout`, then the last known
good goes (design.md, section 6).
"""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace

from consul_kam.app.engine import Engine, Lane
from consul_kam.app.freshness import Freshness, Looked
from consul_kam.app.render import Renderer
from consul_kam.app.reports import Reporter
from consul_kam.config import Settings
from consul_kam.core import fresh
from consul_kam.core.plan import make_release
from consul_kam.core.records import Record, Release
from consul_kam.errors import ConsulKamError

LOOK = 0.1
"""Seconds between two looks."""
AGAIN = 30.0
"""Seconds after which what is waited for is said again."""


class Boot:
    """Calls `go` once, on the decision thread, when Kamailio may start.

    Where consul-template is ours, staging counts once it is what Consul says; one that is not ours may stage what
    nobody else can render, and counts as soon as it is there.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        freshness: Freshness,
        reporter: Reporter,
        environment: Callable[[], str],
        go: Callable[[], None],
    ) -> None:
        """`environment`: why what Kamailio is started with is not known yet, or ""."""
        self._engine, self._settings, self._freshness, self._reporter = engine, settings, freshness, reporter
        self._environment, self._go = environment, go
        self._lists = False
        """Whether the lists are as they shall be."""
        self._renders = settings.consul_template.mode == "spawn"
        self._began = self._told = time.monotonic()
        self._late = False
        self._looking = False
        self.waits_for = "Consul's first answer"
        """"" once Kamailio may start."""

    def begin(self) -> None:
        self._began = self._told = time.monotonic()
        self._look()

    def _look(self) -> None:
        if not self.waits_for:
            return
        now = time.monotonic()
        if not self._late and now - self._began >= self._settings.node.boot_timeout:
            self._late = True
            self._without_consul()
        if self._lists or (self._late and not self._unknown()) or (not self._renders and not self._unstaged()):
            self._start()
        elif self._renders and not self._looking:
            self._looking = True
            self._freshness.ask(self._looked)
        if self.waits_for:
            if self._late and now - self._told >= AGAIN:
                self._tell()
            self._engine.loop.at(now + LOOK, self._look)

    def _looked(self, looked: Looked) -> None:
        self._looking = False
        names = self._engine.lanes
        if self.waits_for and not self._unstaged() and all(looked.of(name).state == fresh.EQUAL for name in names):
            self._start()

    def _start(self) -> None:
        """Or wait for the environment too: it says itself what it lacks."""
        self._lists = True
        self.waits_for = self._environment()
        if not self.waits_for:
            self._go()

    def _without_consul(self) -> None:
        """Consul is late. Static entries need none: a template that has no others renders them without asking."""
        unknown = self._unknown()

        def job() -> None:
            found = [(lane, _static(self._settings, lane)) for lane in unknown]
            self._engine.loop.post(lambda: self._took_static(found))

        self._engine.disk.submit(job)

    def _took_static(self, found: list[tuple[Lane, Release | None]]) -> None:
        for lane, release in found:
            if release is not None and lane.pipeline.wanted is None:
                self._engine.do(lane, lane.pipeline.want(release, time.monotonic()))
        self._tell()

    def _tell(self) -> None:
        self._told = time.monotonic()
        late = f"Consul gave no answer within {self._settings.node.boot_timeout:g} s"
        left = ", ".join(lane.pipeline.dataset.name for lane in self._unknown())
        if left and self.waits_for:
            self.waits_for = f"a first list of {left}"
            self._reporter.warn(
                f"cannot start Kamailio: {late}, and of {left} there is neither a last known good list nor a static "
                "entry; it starts once Consul answers"
            )
        elif not left:
            self._reporter.warn(f"{late}: Kamailio starts on the last known good lists, or else on static entries")

    def _unstaged(self) -> list[Lane]:
        return [lane for lane in self._engine.lanes.values() if not lane.pipeline.staging or lane.asked]

    def _unknown(self) -> list[Lane]:
        """Lists that must not be empty, and of which nobody knows anything."""
        return [
            lane
            for lane in self._engine.lanes.values()
            if lane.pipeline.policy.limits.min_records and not (lane.pipeline.wanted or lane.pipeline.last)
        ]


def _static(settings: Settings, lane: Lane) -> Release | None:
    """The static entries alone, as the real template renders them."""
    chosen = settings.dataset(lane.pipeline.dataset.name)
    sets = tuple({**entry, "service": "", "kv": ""} for entry in chosen.sets if entry["static"])
    records: list[Record] = []
    if sets:
        renderer = Renderer(settings, retry=False, directory=settings.state_dir)
        with contextlib.suppress(ConsulKamError, OSError):
            for each in renderer.attempt([replace(chosen, sets=sets)], 3.0).rendered:
                records += lane.pipeline.dataset.parse_staging(each.file, each.content).records
    return make_release(list({record.key: record for record in records}.values())) if records else None
