"""From the configuration to a running engine: the one place that knows every part."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consul_kam.adapters import allocator, dumps, files, rpc
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.control import ControlUnreachable, Server, ask
from consul_kam.adapters.directory_lock import DirectoryLock
from consul_kam.adapters.identity import files_of
from consul_kam.adapters.journal import Journal
from consul_kam.adapters.lock import KamailioLock
from consul_kam.adapters.releases import Releases
from consul_kam.adapters.secret_store import SecretStore
from consul_kam.adapters.staging import Watch
from consul_kam.adapters.systemd import Notifier
from consul_kam.app import certificates, places, status_http
from consul_kam.app.acls import AclWatch, sources_of
from consul_kam.app.certificates import Certificates
from consul_kam.app.engine import Engine, Lane
from consul_kam.app.env import Environment
from consul_kam.app.freshness import Freshness
from consul_kam.app.heartbeat import Heartbeat
from consul_kam.app.intake import Intake
from consul_kam.app.limits import policy
from consul_kam.app.loop import end_loudly
from consul_kam.app.node import Node
from consul_kam.app.operator import Operator
from consul_kam.app.ordering import Ordering
from consul_kam.app.pipeline import Pipeline
from consul_kam.app.recording import Recorder
from consul_kam.app.reports import Reporter
from consul_kam.app.secrets import Secrets
from consul_kam.app.work import DAMAGED, Work, restored
from consul_kam.config import DatasetSettings, Settings
from consul_kam.core import past
from consul_kam.core.change import Base
from consul_kam.core.dataset import Dataset, file_name
from consul_kam.core.guards import Past
from consul_kam.core.plan import make_release
from consul_kam.core.ports import Rpc
from consul_kam.core.records import Key, Release
from consul_kam.core.state import State
from consul_kam.datasets import dataset
from consul_kam.errors import ConfigError, ListError

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
        if node is None or not node.ending:
            reload()

    def end(number: int, frame: object) -> None:
        if node is None:
            engine.stop()
        else:
            engine.loop.post(lambda: node.end(signal.Signals(number).name))

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
    reporter = Reporter(
        Journal(settings.journal),
        settings.alert.command,
        settings.alert.deadline,
        settings.alert.environment,
        settings.log.format == "json",
        settings.log.level,
    )
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
        environment = Environment(engine.loop, settings, consul_of(settings), (engine.rpc, client), reporter)
        kept = (
            environment,
            Secrets(engine.loop, settings, reporter),
            Certificates(engine.loop, settings, (engine.rpc, client), reporter),
        )
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


def lane(settings: Settings, chosen: DatasetSettings, client: Rpc) -> Lane:
    """One dataset with all that outlived the last engine. Raises ConfigError, OSError."""
    found = dataset(chosen.name)
    assert chosen.file is not None
    releases = Releases(settings.releases / file_name(chosen.name))
    lkg, ours = _last_known_good(found, releases)
    live = _live(chosen.file, known=lkg is not None)
    ours |= _marked(found, live)
    memory = releases.memory()
    least = settings.kamailio.min_gap
    gap = found.gap.seconds if least is None else lambda records: least
    written = files.last_written(chosen.file)
    ago = time.time() - written if written is not None else float("inf")
    count = len(lkg.records) if lkg is not None else 0
    state = State(
        gap=gap,
        ordered=found.ordered,
        halted=chosen.observe or bool(memory.get("paused")),
        lkg=lkg,
        ours=ours,
        not_before=time.monotonic() + max(0.0, gap(count) - ago),
    )
    pipeline = Pipeline(
        dataset=found,
        policy=policy(settings, chosen),
        state=state,
        wall=time.time,
        parts=chosen.parts,
        observe=chosen.observe,
        past=_past(memory),
        last=lkg if lkg is not None else _adopted(found, chosen.file, live),
        previous=lkg,
        paused=bool(memory.get("paused")),
    )
    work = Work(found, client, chosen.file, releases, settings.kamailio.rpc_deadline, chosen.resolve_deadline)
    work.base = Base(lkg)
    pinned = releases.load(str(memory.get("pinned") or ""))
    if pinned is not None:
        with contextlib.suppress(*DAMAGED):
            pipeline.last = restored(found, pinned)
            pipeline.pinned = pinned.name
    staging = {part: chosen.staging_of(part) for part in chosen.parts}
    return Lane(pipeline, work, staging, sources_of(chosen))


def _last_known_good(found: Dataset, releases: Releases) -> tuple[Release | None, frozenset[Key]]:
    stored = releases.newest()
    if stored is None:
        return None, frozenset()
    try:
        ours = frozenset(tuple(key) for key in stored.about.get("ours", []))
        return restored(found, stored), ours
    except DAMAGED:
        return None, frozenset()


def _marked(found: Dataset, live: bytes | None) -> frozenset[Key]:
    """What the live file says was disabled by us; one that cannot be read says nothing."""
    try:
        return found.ours(live) if live is not None else frozenset()
    except ListError:
        return frozenset()


def _live(path: Path, known: bool) -> bytes | None:
    """The live file at the start. What stands in its place is replaced where it is `known` that we published one there.

    Raises ConfigError.
    """
    try:
        return files.read_if_there(path)
    except OSError as error:
        if known:
            return None
        cure = "remove it, or name another file"
        raise ConfigError(f"cannot keep {path}: {error.strerror or error}; {cure}") from None


def _adopted(found: Dataset, path: Path, live: bytes | None) -> Release | None:
    """At the very first start the list that Kamailio has is what removals are counted from."""
    if live is None:
        return None
    try:
        records = found.parse_native(str(path), live).records
    except ListError:
        return None
    return make_release(list({record.key: record for record in records}.values()))


def _past(memory: Mapping[str, Any]) -> Past:
    try:
        return past.load(memory["past"])
    except (KeyError, TypeError, ValueError):
        return Past()


def consul_of(settings: Settings) -> Callable[[], Consul]:
    """Makes clients of the configured agent."""
    given = settings.consul
    return lambda: Consul(given.address, given.token_file, given.ca_file, files_of(given))
