"""Is staging what Consul says now? The same templates, rendered once into scratch, tell (design.md, section 6).

A worker of its own does it, never the decision, RPC or disk thread, and never longer than DEADLINE.
"""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consul_kam import datasets
from consul_kam.adapters import files
from consul_kam.adapters.consul import Consul
from consul_kam.app.acls import sources_of
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.render import Renderer, RenderFailed, dataset_and_part
from consul_kam.config import Settings
from consul_kam.core import fresh
from consul_kam.core.fresh import UNKNOWN, Fresh
from consul_kam.core.lines import is_staging
from consul_kam.core.records import Answer
from consul_kam.errors import ConfigError, ListError

DEADLINE = 3.0
"""Seconds for one look."""
KEPT = 1.0
"""Seconds that a result is good for whoever asks."""
ON_ITS_WAY = 0.3
"""Seconds that a record has to reach staging before it counts as missing there."""
LATE = 2.0
"""Seconds beyond DEADLINE after which nobody waits any longer, as where a disk hangs."""


@dataclass(frozen=True)
class Looked:
    """`at`: wall clock, s. `parts`: (dataset, part) -> what is to be said of that staging file."""

    at: float
    parts: Mapping[tuple[str, str], Fresh]

    def of(self, dataset: str) -> Fresh:
        """All staging files of a dataset together."""
        return fresh.together([(part, found) for (name, part), found in self.parts.items() if name == dataset])


Then = Callable[[Looked], None]


@dataclass
class Freshness:
    """`ask` in the loop, which is also where the answer comes. `consul` makes a client, for ACLs."""

    loop: Loop
    settings: Settings
    consul: Callable[[], Consul]
    busy: bool = False
    _waiting: list[Then] = field(default_factory=list)
    _last: Looked | None = None
    _last_at: float = 0.0
    _asked: int = 0
    _worker: Worker = field(default_factory=lambda: Worker("freshness"))
    _closing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._look = _Look(self.settings, self.consul, self._closing)

    def ask(self, then: Then) -> None:
        """Call `then` within DEADLINE + LATE seconds. All who ask meanwhile share one look, and for KEPT s after it."""
        if self._last is not None and time.monotonic() - self._last_at < KEPT:
            then(self._last)
            return
        self._waiting.append(then)
        if self.busy:
            return
        self.busy, self._asked = True, self._asked + 1
        number = self._asked
        self._worker.submit(lambda: self._answer(number, self._look.look()))
        late = self._look.all_unknown(f"no answer within {DEADLINE + LATE:g} s")
        self.loop.at(time.monotonic() + DEADLINE + LATE, lambda: self._answered(number, late))

    @property
    def last(self) -> Looked | None:
        """The newest look that anybody had, however old."""
        return self._last

    def close(self) -> None:
        """End what is under way."""
        self._closing.set()
        self._look.renderer.stop()
        self._worker.close(2.0)

    def _answer(self, number: int, looked: Looked) -> None:
        self.loop.post(lambda: self._answered(number, looked))

    def _answered(self, number: int, looked: Looked) -> None:
        if not self.busy or number != self._asked:
            return
        self.busy, self._last, self._last_at = False, looked, time.monotonic()
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(looked)


class _Look:
    """What the worker does."""

    def __init__(self, settings: Settings, consul: Callable[[], Consul], closing: threading.Event) -> None:
        self._settings, self._consul, self._closing = settings, consul, closing
        self._client: Consul | None = None
        self._chosen = {each.name: each for each in settings.enabled}
        self._clean = False
        self.renderer = Renderer(settings, retry=False, directory=settings.state_dir)

    def all_unknown(self, reason: str) -> Looked:
        parts = {(each.name, part): Fresh(UNKNOWN, reason) for each in self._chosen.values() for part in each.parts}
        return Looked(time.time(), parts)

    def look(self) -> Looked:
        """Render, compare, and where something differs, give it a moment to arrive and look again."""
        try:
            self._leave_nothing()
            before = {key: _read(path) for key, path in self._paths().items()}
            attempt = self.renderer.attempt(list(self._chosen.values()), DEADLINE)
        except (RenderFailed, ConfigError) as error:
            return self.all_unknown(str(error))
        except OSError as error:
            return self.all_unknown(f"cannot render into {self._settings.state_dir}: {error.strerror or error}")
        found = {dataset_and_part(file): Fresh(UNKNOWN, reason) for file, reason in attempt.failed.items()}
        # A record that came or went while we rendered is in one of the two readings of staging, or on its way.
        for staged in (lambda key: before[key], self._now, self._in_a_moment()):
            for each in attempt.rendered:
                key = (each.dataset, each.part)
                if key not in found or found[key].state == fresh.DIFFERS:
                    found[key] = self._compare(key, staged(key), each.content)
        return Looked(time.time(), {key: self._with_acls(key, each) for key, each in found.items()})

    def _paths(self) -> dict[tuple[str, str], Path]:
        return {(c.name, part): c.staging_of(part) for c in self._chosen.values() for part in c.parts}

    def _now(self, key: tuple[str, str]) -> bytes | str:
        return _read(self._paths()[key])

    def _in_a_moment(self) -> Callable[[tuple[str, str]], bytes | str]:
        until = time.monotonic() + ON_ITS_WAY

        def staged(key: tuple[str, str]) -> bytes | str:
            self._closing.wait(max(0.0, until - time.monotonic()))
            return self._now(key)

        return staged

    def _compare(self, key: tuple[str, str], staged: bytes | str, rendered: bytes) -> Fresh:
        if staged == rendered:
            return Fresh(fresh.EQUAL)
        dataset = datasets.dataset(key[0])
        consul, unusable = _parse(key[0], rendered, key[0])
        if consul is None:
            return Fresh(UNKNOWN, f"the template renders nothing usable: {unusable}")
        answer, error = _parse(key[0], staged, str(self._paths()[key]))
        found = fresh.compare(dataset, answer, error, consul)
        if found.state == fresh.DIFFERS and answer is not None and answer.native and not consul.native:
            where = "set [consul_template] templates to its directory to have it compared"
            return Fresh(UNKNOWN, f"staging comes from a template of your own, and by ours Consul says other: {where}")
        return found

    def _with_acls(self, key: tuple[str, str], found: Fresh) -> Fresh:
        """Records that only staging has may be hidden from our token: then nobody can say."""
        if found.state != fresh.DIFFERS or not found.extra:
            return found
        sources = sources_of(self._chosen[key[0]]).get(key[1], ())
        if sources and self._client is None:
            self._client = self._consul()
        hidden = [s.name for s in sources if self._client and self._client.seen_of_filtered(s, key[1]) is not None]
        if not hidden:
            return found
        return Fresh(UNKNOWN, f"Consul's ACLs hide some of {', '.join(hidden)} from our token")

    def _leave_nothing(self) -> None:
        """An engine that was killed left its scratch behind; the control socket's lock says that there is no other."""
        if not self._clean:
            for left in self._settings.state_dir.glob("scratch-*"):
                shutil.rmtree(left, ignore_errors=True)
            self._clean = True


def _read(path: Path) -> bytes | str:
    """The content, or why there is none."""
    try:
        return files.read_regular(path)
    except FileNotFoundError:
        return f"nothing is staged at {path}"
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"


def _parse(name: str, data: bytes | str, file: str) -> tuple[Answer | None, str]:
    """`file`: what messages call it."""
    if isinstance(data, str):
        return None, data
    dataset = datasets.dataset(name)
    try:
        return (dataset.parse_staging if is_staging(data) else dataset.parse_native)(file, data), ""
    except ListError as error:
        return None, str(error)
