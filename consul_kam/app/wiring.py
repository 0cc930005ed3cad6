"""From the configuration to a running engine: the one place that knows every part."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from consul_kam.adapters import allocator, dumps, rpc
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.control import ControlUnreachable, Server, ask
from consul_kam.adapters.directory_lock import DirectoryLock
from consul_kam.adapters.identity import files_of
from consul_kam.adapters.journal import Journal
from consul_kam.adapters.lock import KamailioLock
from consul_kam.adapters.secret_store import SecretStore
from consul_kam.adapters.staging import Watch
from consul_kam.adapters.systemd import Notifier
from consul_kam.app import certificates, places, status_http
from consul_kam.app.acls import AclWatch
from consul_kam.app.certificates import Certificates
from consul_kam.app.engine import Engine
from consul_kam.app.env import Environment
from consul_kam.app.freshness import Freshness
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.intake import Intake
from consul_kam.app.lanes import lane
from consul_kam.app.loop import end_loudly
from consul_kam.app.node import Node
from consul_kam.app.operator import Operator
from consul_kam.app.ordering import Ordering
from consul_kam.app.recording import Recorder
from consul_kam.app.reports import Reporter
from consul_kam.app.secrets import Secrets
from consul_kam.config import Settings
from consul_kam.core.ports import Rpc
from consul_kam.errors import ConfigError

LINGER = 5.0
"""Seconds that a detached engine stays after the last thing that it had to do."""


def run(settings: Settings, detached: bool = False, reload: Callable[[], Settings] | None = None) -> int:
    """Run an engine until SIGTERM, SIGINT, or, detached, until nothing is pending. Returns the exit code.

    `reload` reads the configuration again, for SIGHUP; it raises ConfigError. With another one everything is made anew
    in this process, and the programs that it had started are adopted.
    """
    allocator.thrifty()
    threading.excepthook = end_loudly
    notifier = Notifier.from_environment(os.environ)
    before: Settings | None = None
    well: bool | None = None
    while True:
        try:
            again = _serve(settings, detached, reload, notifier, well)
        except ConfigError as error:
            if before is None:
                raise
            print(f"{error}; going on with the configuration as it was", file=sys.stderr, flush=True)
            settings, before = before, None
            continue
        if isinstance(again, int):
            return again
        before, (settings, well) = settings, again


def _serve(
    settings: Settings,
    detached: bool,
    reload: Callable[[], Settings] | None,
    notifier: Notifier,
    well: bool | None,
) -> int | tuple[Settings, bool]:
    """Until the end, or until there is another configuration; with that goes whether the node was well. `well`: that of
    the one before.
    """
    places.prepare(settings)
    if settings.vault.on:
        dumps.refuse()
    if not detached:
        if settings.vault.on:
            SecretStore(settings.vault.directory).prepare()
        _retire_detached(settings.control)
    server: list[Server] = []
    lock = KamailioLock(settings.kamailio.rpc, places.written(settings)) if settings.enabled else None
    alone: list[DirectoryLock] = []
    try:
        if settings.vault.on and not detached:  # who else kept it would withdraw these secrets, and revoke them
            alone.append(DirectoryLock(settings.vault.directory, "vault.directory"))
        if certificates.kept(settings) and not detached:  # and would write another tls.cfg
            alone.append(certificates.hold(settings))
        engine, intake, operator, node = build(settings, detached, notifier, well)
        server.append(Server(settings.control, operator.handle))
        places_of_staging = {path.parent for lane in engine.lanes.values() for path in lane.staging.values()}
        staging = Watch(places_of_staging, intake.changed, intake.coming)
        engine.each_tick.insert(0, staging.renew)
        engine.each_tick.append(lambda: _stay_reachable(settings.control))
        wanted: list[Settings] = []
        _heed_signals(engine, node, lambda: _reload(engine, reload, notifier, wanted))
        engine.run()
        staging.stop()
    finally:
        if lock is not None:
            lock.release()  # first: whoever finds the socket gone may start at once
        for directory in alone:
            directory.release()
        for each in server:
            each.close()
    if wanted:
        return wanted[0], node is not None and node.well
    return node.code if node is not None else 0


def _heed_signals(engine: Engine, node: Node | None, reload: Callable[[], None]) -> None:
    def again() -> None:
        if node is None or not node.ending.under_way:
            reload()

    def end(number: int, frame: object) -> None:
        if node is None:
            engine.stop()
        else:
            engine.loop.post(lambda: node.ending.ask(signal.Signals(number).name))

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    signal.signal(signal.SIGHUP, lambda *_: engine.loop.post(again))


def _reload(engine: Engine, read: Callable[[], Settings] | None, notifier: Notifier, wanted: list[Settings]) -> None:
    """SIGHUP. A configuration that is wrong is refused, and the old one kept."""
    if read is None:
        return
    notifier.reloading()
    try:
        wanted[:] = [read()]
    except ConfigError as error:
        engine.reporter.warn(f"{error}; the configuration stays as it was")
        notifier.ready()
    else:
        engine.reporter.tell("configuration read again")
        engine.stop()


def build(
    settings: Settings, detached: bool, notifier: Notifier, well: bool | None = None
) -> tuple[Engine, Intake, Operator, Node | None]:
    """The engine, what feeds it and what surrounds it, not yet running. Raises ConfigError. `well`: as of Node."""
    if not settings.enabled and not settings.node.role and (detached or not (settings.env.on or settings.vault.on)):
        raise ConfigError("cannot run: no dataset is enabled; set `file` in [datasets.dispatcher]")
    way = settings.kamailio
    client = rpc.connect(way.rpc, way.rpc_reply_dir, way.rpc_password_file, way.rpc_ca_file)
    reporter = _reporter(settings)
    engine = Engine([lane(settings, each, client) for each in settings.enabled], reporter, settings.verify_every)
    trouble = places.exposed(settings)
    if trouble:
        reporter.warn(trouble)
    acls = AclWatch(engine.loop, consul_of(settings))
    intake = Intake(engine, acls)
    if settings.log.record:
        recorder = Recorder(Path(settings.log.record), reporter.warn)
        intake.record = recorder.staged
        engine.at_end.append(recorder.close)
    heartbeat = Heartbeat(engine)
    ordering = Ordering(engine, settings.datasets, settings.order, settings.order_wait)
    freshness = Freshness(engine.loop, settings, consul_of(settings))
    engine.at_end.append(freshness.close)
    node = None
    if not detached:
        kept = _kept(engine, settings, client)
        node = Node(engine, settings, heartbeat, freshness, consul_of(settings), kept, notifier, well)
    operator = Operator(engine, intake, heartbeat, freshness, ordering, node, settings.kamailio.rpc)
    engine.each_tick.append(intake.scan_all)
    engine.loop.post(intake.start)
    engine.loop.post(heartbeat.start)
    if node is not None:
        acls.warm_up()
        status_http.serve(engine, settings, heartbeat, ordering, node, freshness, operator.handle)
        engine.loop.post(node.start)
    else:
        engine.after.append(lambda: _end_when_done(engine, freshness, settings.control))
    return engine, intake, operator, node


def _reporter(settings: Settings) -> Reporter:
    return Reporter(
        Journal(settings.journal),
        settings.alert.command,
        settings.alert.deadline,
        settings.alert.environment,
        settings.log.format == "json",
        settings.log.level,
    )


def _kept(engine: Engine, settings: Settings, client: Rpc) -> tuple[Environment, Secrets, Certificates]:
    """What is kept up to date beside the lists."""
    kamailio, reporter = (engine.rpc, client), engine.reporter
    return (
        Environment(engine.loop, settings, consul_of(settings), kamailio, reporter),
        Secrets(engine.loop, settings, reporter),
        Certificates(engine.loop, settings, kamailio, reporter),
    )


def _stay_reachable(control: Path) -> None:
    """Crash-only: a new engine makes the state directory anew. Raises ControlUnreachable."""
    if not control.exists():
        raise ControlUnreachable(f"cannot go on: {control} was removed, so nobody reaches this engine; start it again")


def _retire_detached(control: Path) -> None:
    """One that `kam-apply` started gives way to a lasting engine, which goes on from where it was."""
    with contextlib.suppress(ControlUnreachable):
        if ask(control, {"do": "stop"}, 2.0).get("ok"):
            until = time.monotonic() + 5.0
            while control.exists() and time.monotonic() < until:
                time.sleep(0.02)


def _end_when_done(engine: Engine, freshness: Freshness, control: Path) -> None:
    """Nothing is pending, nobody waits for an answer; or nobody can reach us, as our state directory was removed."""
    lanes = engine.lanes.values()
    quiet = time.monotonic() - max(lane.touched for lane in lanes) > LINGER
    pending = freshness.busy or any(lane.pipeline.pending for lane in lanes)
    if not control.exists() or (quiet and not pending):
        engine.stop()


def consul_of(settings: Settings) -> Callable[[], Consul]:
    """Makes clients of the configured agent."""
    given = settings.consul
    return lambda: Consul(given.address, given.token_file, given.ca_file, files_of(given))
