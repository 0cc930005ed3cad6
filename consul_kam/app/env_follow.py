"""`consul-kam env exec --restart`: stays beside the program, and starts it anew when its environment changes.

`_look` (KV as it is now) -> `_see` (Vault's files, on the worker) -> `_looked` -> `_replace` (SIGTERM, and SIGKILL
later) -> `_ended` -> the next one. What is missing or wrong, and a Consul that is away, end nothing: the program goes
on with what it has.
"""

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from consul_kam.adapters import foreground
from consul_kam.adapters.processes import Reaper, signal_process
from consul_kam.adapters.watcher import Watcher
from consul_kam.app import env_words
from consul_kam.app.env_layers import Layers
from consul_kam.app.env_words import Seen
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.wiring import consul_of
from consul_kam.config import Settings
from consul_kam.core.env import Layer
from consul_kam.errors import ConsulKamError

HANDED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
LAST = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""After one of these nothing is started any more."""


@dataclass(frozen=True, slots=True)
class Manners:
    """`splay`: a new environment is taken within so many seconds, at a moment chosen by chance; `kill_after`: s from
    SIGTERM to SIGKILL."""

    splay: float = 0.0
    kill_after: float = 30.0


class Follower:
    """Everything on the decision thread, but for `_see`."""

    def __init__(self, settings: Settings, command: Sequence[str], manners: Manners) -> None:
        self._settings, self._command, self._manners = settings, command, manners
        self._loop, self._worker, self._watcher = Loop(), Worker("env"), Watcher()
        self._reaper = Reaper(lambda: self._watcher.pids)
        self._kv = Layers(self._loop, settings, consul_of(settings), self._look)
        self._seen: Seen | None = None
        """What the program was started with."""
        self._next: Seen | None = None
        """What one that is started now would get."""
        self._pid = 0
        self._busy = self._again = self._planned = self._asked = self._last = False
        """A look is under way, another one has to follow; another start is due at some moment; the program was told to
        end for it; for good."""
        self._told: frozenset[str] = frozenset()
        self._code = 0

    def run(self) -> int:
        """Its exit code, once it ended by itself or was told to; 128 and the signal's number where one ended it.

        Raises ConsulKamError: something is missing, or there is no such program.
        """
        seen = env_words.ready(self._settings, self._command[0])
        self._told = frozenset(seen.troubles)
        self._loop.post(lambda: self._start(seen))  # before anything that a signal posts
        self._loop.post(self._kv.start)
        self._loop.post(self._tick)
        for number in HANDED_ON:
            signal.signal(number, lambda number, _: self._loop.post(lambda: self._hand_on(number)))
        try:
            self._loop.run(lambda: None)
        finally:
            self._kv.close()
            self._watcher.close()
        return self._code

    def _start(self, seen: Seen) -> None:
        self._seen, self._planned, self._asked = seen, False, False
        env_words.remember(self._settings, seen)
        self._pid = foreground.start(self._command, env_words.surroundings(seen))
        self._watcher.watch(self._pid, lambda how: self._loop.post(lambda: self._ended(how)))

    def _ended(self, how: str) -> None:
        if self._asked and self._next is not None and not self._last:
            self._start(self._next)
            return
        word, _, number = how.rpartition(" ")
        self._code = int(number) + (128 if word == "signal" else 0)
        self._loop.stop()

    def _hand_on(self, number: int) -> None:
        self._last |= number in LAST
        signal_process(self._pid, number)

    # -- another environment -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if os.getpid() == 1:  # in a container everybody's orphans are ours
            self._reaper.look()
        self._look()
        self._loop.at(time.monotonic() + self._settings.env.every, self._tick)

    def _look(self) -> None:
        layers = self._kv.now()
        self._again = self._busy
        if not self._busy and layers is not None:
            self._busy = True
            self._worker.submit(lambda: self._see(layers))

    def _see(self, layers: list[Layer] | str) -> None:
        try:
            seen = env_words.made_of(self._settings, layers, last=self._seen.env.values if self._seen else None)
        except ConsulKamError as error:
            trouble = str(error)
            self._loop.post(lambda: self._looked(None, (trouble,)))
        else:
            self._loop.post(lambda: self._looked(seen, (*seen.troubles, *seen.env.missing)))

    def _looked(self, seen: Seen | None, troubles: Sequence[str]) -> None:
        self._busy = False
        if self._again:
            self._look()
        for trouble in set(troubles) - self._told:
            print(f"environment: {trouble}", file=sys.stderr, flush=True)
        self._told = frozenset(troubles)
        if seen is None or seen.env.missing:
            return
        self._next = seen
        if self._differs() and not self._planned:
            self._planned = True
            self._loop.at(time.monotonic() + random.random() * self._manners.splay, self._replace)

    def _differs(self) -> bool:
        return self._seen is not None and self._next is not None and self._next.env.texts != self._seen.env.texts

    def _replace(self) -> None:
        """It may be as it was by now."""
        self._planned = self._asked = self._differs() and not self._last
        if self._asked:
            pid = self._pid
            signal_process(pid, signal.SIGTERM)
            self._loop.at(time.monotonic() + self._manners.kill_after, lambda: self._kill(pid))

    def _kill(self, pid: int) -> None:
        """Where it is still the one."""
        if pid == self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
