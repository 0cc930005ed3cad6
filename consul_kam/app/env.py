"""The environment of this node, kept: KV is read, what it comes to is remembered, included, and set where it is live.

One flow, over and over, level-triggered: `look` (KV as it is now) -> `_look` (Vault's files, on the worker) ->
`_looked` (decided, on the decision thread) -> `_put_down` (known values and include, on the worker) -> `_compare`
(htable and cfg variables of the running Kamailio, on the RPC worker) -> `_rest`. Kamailio is never restarted from here.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from consul_kam.adapters import env_store
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.env_store import EnvStore
from consul_kam.app import env_secrets
from consul_kam.app.env_kamailio import EnvKamailio, Found
from consul_kam.app.env_layers import Layers
from consul_kam.app.env_state import Left, Now, Start, ended, left, told, within
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.config import Settings
from consul_kam.core import env_known, env_live
from consul_kam.core.env import Layer, Secrets, emptied, filled, needs_restart, policy, resolve
from consul_kam.core.env_define import include
from consul_kam.core.env_known import Known
from consul_kam.core.ports import Rpc
from consul_kam.errors import ConsulKamError

DIRECTORY = "env"
"""In the state directory."""
NAMED = "env"
"""What its lines in the journal are filed under."""


class Environment:
    """Every method but those of a start on the decision thread. `consul` makes a client."""

    def __init__(
        self, loop: Loop, settings: Settings, consul: Callable[[], Consul], rpc: tuple[Worker, Rpc], reporter: Reporter
    ) -> None:
        self._loop, self._settings, self._given, self._reporter = loop, settings, settings.env, reporter
        self._kv = Layers(loop, settings, consul, self.look)
        self._layers: list[Layer] | None = None
        self._rpc, self._kamailio = rpc[0], EnvKamailio(settings, rpc[1])
        self._store = EnvStore(settings.state_dir / DIRECTORY)
        self._worker = Worker("env")
        self._now = self._laid = Now()
        """`_laid`: what the include says, and a start is to have."""
        self._loaded = self._busy = self._again = self._closed = False
        self._kept: Known | None = None
        """As it is on disk."""
        self._away = self._unwritten = ""
        self._found = Found()
        self._told: tuple[str, ...] = ()
        self._began = time.monotonic()
        self.left_before: Left = lambda name: math.inf

    @property
    def on(self) -> bool:
        return self._given.on

    def start(self) -> None:
        """Look now, and from then on by itself."""
        self._began = time.monotonic()
        if self.on:
            self._loop.at(self._began + self._settings.node.boot_timeout, self.look)
            self._kv.start()
            self._tick()

    def look(self) -> None:
        """Look now: Kamailio has just come up, or KV changed."""
        self._again = self._busy
        layers = self._kv.now()
        if layers is None and self._late:
            layers = "cannot tell what KV says: no answer from Consul yet"
        if self.on and not self._busy and not self._closed and layers is not None:
            self._busy = True
            self._worker.submit(lambda: self._look(layers))

    def close(self) -> None:
        self._closed = True
        self._kv.close()
        self._worker.close(0.5)

    @property
    def _late(self) -> bool:
        """Consul has had its time: what is known has to do."""
        return time.monotonic() - self._began >= self._settings.node.boot_timeout

    @property
    def decided(self) -> bool:
        """Whether it is known what it is, be it as it was before."""
        return not self.on or self._now.decided

    @property
    def waits_for(self) -> str:
        """Why Kamailio may not be started, or ""."""
        if not self.on:
            return ""
        if not self._laid.decided:
            return "the environment from Consul's KV"
        missing = self._now.env.missing or self._laid.env.missing
        return "the environment: " + "; ".join(missing) if missing else ""

    # -- for a start, on whatever thread ------------------------------------------------------------------------------

    def for_start(self, command: Sequence[str]) -> Start:
        """What Kamailio is started with now. Raises ConsulKamError where something is missing."""
        now = self._laid
        if not self.on:
            return Start(list(command), {}, "")
        if now.env.missing or self.waits_for:
            raise ConsulKamError(f"cannot start Kamailio: {self.waits_for}")
        words, unknown = filled(command, now.env.texts)
        if unknown:
            raise ConsulKamError(f"cannot use [kamailio] command: there is no {', '.join(sorted(set(unknown)))}")
        return Start(words, env_secrets.for_program(self._given, now.env.texts), now.noted.digest)

    def started(self, digest: str) -> None:
        """Kamailio is about to be started with this; "": with something older."""
        if self.on:
            self._loop.post(lambda: self._started(digest))

    # -- the flow -----------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if not self._closed:
            self.look()
            self._loop.at(time.monotonic() + self._given.every, self._tick)

    def _look(self, layers: list[Layer] | str) -> None:
        """On the worker."""
        known, trouble = self._load()
        secrets = env_secrets.read(self._given)
        self._loop.post(lambda: self._looked(layers, secrets, known, trouble))

    def _load(self) -> tuple[Known | None, str]:
        """What outlived the last engine, once."""
        if self._loaded:
            return None, ""
        self._loaded = True
        try:
            self._kept = self._store.load()
            return self._kept, ""
        except ConsulKamError as error:
            return Known(), str(error)

    def _looked(self, layers: list[Layer] | str, secrets: Secrets, loaded: Known | None, trouble: str) -> None:
        if loaded is not None:
            self._now = replace(self._now, known=env_secrets.keyed(loaded, self._given))
        if trouble:
            self._reporter.warn(f"{trouble}; the last good environment is not known")
        if not isinstance(layers, str):
            layers = emptied(layers, self._now.known.values) or layers
        self._away = layers if isinstance(layers, str) else ""
        if isinstance(layers, str) and not (self._now.decided or self._late):
            self._tell()
            self._compare()  # KV is away; Kamailio may have started anew
            return
        self._layers = self._layers if isinstance(layers, str) else layers
        before, known = self._now, self._now.known
        env = resolve(self._given.specs, self._given.allow, self._layers, known.values, secrets)
        noted = env_secrets.note(self._given, env, known)
        if not env.missing and self._layers is not None and env.values != known.values:
            known = env_known.taken(known, env, noted.digest, time.time(), noted.texts)
        elif not env.missing and noted.digest not in known.versions:
            known = env_known.used(known, env, noted.digest, noted.texts)
        self._now = Now(env, known, noted, decided=True)
        self._tell()
        self._note(before, self._now)
        self._put_down()

    def _started(self, started: str) -> None:
        self._now = replace(self._now, known=replace(self._now.known, started=started))
        self._save()

    def _put_down(self) -> None:
        """Written where it is not as on disk: so what was lost there comes back."""
        now, path = self._now, self._given.include
        if self._closed:
            return
        text = include(self._given.specs, now.env.texts, now.noted.digest).encode() if not now.env.missing else None

        def job() -> None:
            unwritten = self._written(now.known)
            if path is not None and text is not None and not self._settings.observe:
                try:
                    env_store.include(path, text, private=self._given.leased)
                except OSError as error:
                    unwritten = f"cannot write the include {path}: {error.strerror or error}"
            self._laid = now
            self._loop.post(lambda: self._put(unwritten))

        self._worker.submit(job)

    def _save(self) -> None:
        known = self._now.known
        self._worker.submit(lambda: self._written(known))

    def _written(self, known: Known) -> str:
        """On the worker: why it is not on disk, or ""."""
        try:
            if self._kept != known:
                self._store.save(known)
                self._kept = known
        except OSError as error:
            return f"cannot remember the environment: {self._store.path}: {error.strerror or error}"
        return ""

    def _put(self, unwritten: str) -> None:
        self._unwritten = unwritten
        self._tell()
        self._compare()

    def _compare(self) -> None:
        """With the running Kamailio."""
        now = self._now
        if self._closed or self._settings.kamailio.mode == "none" or not now.decided:
            self._rest(Found())
            return
        want = env_live.wanted(self._given.specs, now.env.texts)
        mend = not now.env.missing and not self._settings.observe

        def job() -> None:
            found = self._kamailio.look(want, mend)
            self._loop.post(lambda: self._rest(found))

        self._rpc.submit(job)

    def _rest(self, found: Found) -> None:
        for name in found.set:
            self._reporter.note(NAMED, "set in the running Kamailio", variable=name)
        self._found, self._busy = found, False
        if found.digest != self._now.known.started and found.digest in self._now.known.versions:
            self._started(found.digest)
        self._tell()
        if self._again:
            self._again = False
            self.look()

    # -- what is told -------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> str:
        """Digest of what Kamailio runs with: as it says itself, or as we started it; "" where nobody knows."""
        spawned = self._settings.kamailio.mode == "spawn"
        return self._found.digest or (self._now.known.started if spawned else "")

    def _waiting(self) -> list[str] | None:
        """Variables whose new value a restart would take; None where nobody knows."""
        if self._settings.kamailio.mode == "none" or self._running == self._laid.noted.digest:
            return []
        running = self._now.known.versions.get(self._running)
        if running is None or not self._laid.decided:
            return None
        return needs_restart(self._given.specs, running, self._laid.noted.texts)

    def _troubles(self) -> tuple[str, ...]:
        away = f"{self._away}; the environment stays as it was" if self._away and self._now.decided else self._away
        env = self._now.env
        late = ended(self._left)
        return tuple(filter(None, (away, *env.missing, *env.troubles, self._unwritten, *late, *self._found.troubles)))

    @property
    def _left(self) -> dict[str, float]:
        return left(self._given.specs, self._now.env, self._waiting(), self.left_before)

    def _tell(self) -> None:
        """What is new, once."""
        now = self._troubles()
        for trouble in now:
            if trouble not in self._told:
                self._reporter.warn(f"environment: {trouble}")
        self._told = now

    def _note(self, before: Now, after: Now) -> None:
        old, new = before.env.texts, after.env.texts
        names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
        if before.decided and names:
            waits = [name for name in names if policy(self._given.specs, name) == "restart"]
            self._reporter.note(NAMED, "environment changed", variables=names, restart_needed=waits)

    def status(self) -> dict[str, Any] | None:
        """For `status`: no secret's value. None where there is no environment of ours. `restart`: None: not known;
        `restart_within`: seconds that what Kamailio uses is still good, None where that does not end.
        """
        if not self.on:
            return None
        env = self._now.env
        return {
            "decided": self._now.decided,
            "digest": self._now.noted.digest,
            "running": self._running,
            "restart": self._waiting(),
            "restart_within": within(self._left),
            "values": told(self._given.specs, env),
            "missing": list(env.missing),
            "troubles": list(self._troubles()),
        }
