"""`restart --rolling`: one node after the other leaves, starts anew and comes back; who fails stops those behind it.

Each node runs it for itself. A lock in Consul lets them through one at a time; its note says how the last one ended.
"""

import shlex
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from consul_kam.adapters import files, processes
from consul_kam.adapters.consul import Consul
from consul_kam.adapters.consul_agent import ConsulAgent
from consul_kam.adapters.consul_lock import TTL, ConsulLock
from consul_kam.adapters.identity import files_of
from consul_kam.app import leaving
from consul_kam.app.client import request
from consul_kam.app.leaving import Say
from consul_kam.app.surroundings import without_secrets
from consul_kam.config import Settings
from consul_kam.core.registered import Instance
from consul_kam.errors import ConsulError, ConsulKamError

T = TypeVar("T")
UNDER_WAY, DONE, FAILED = "under way", "done", "failed"
LOOK = 0.5
"""Seconds between two looks."""
PATIENCE = 10.0
"""Seconds that a peer gets to be seen passing, and Consul to answer."""
READY = 120.0
"""Seconds from the restart until the node has to be ready."""
STEADY = 2.0
"""Seconds that it has to stay so where Kamailio is not ours, since nobody tells us of its start."""
COMMAND = 600.0
"""Seconds that a command may take."""


class Stopped(ConsulKamError):
    """It went no further (exit code 1)."""


class Rolling:
    """One node's turn. `command`: restarts what there is to restart; "": Kamailio is restarted as it is kept."""

    def __init__(self, settings: Settings, command: str, deadline: float | None, force: bool, say: Say) -> None:
        self._settings, self._command, self._deadline, self._force, self._say = settings, command, deadline, force, say
        self._id, self._name = settings.registration.id, settings.registration.name
        self._agent = ConsulAgent(_consul(settings))
        self._lock = ConsulLock(_consul(settings), f"consul_kam/rolling/{self._name}", f"consul_kam {self._id}")
        self._lost, self._over = "", threading.Event()

    def run(self, wait: float) -> dict[str, Any]:
        """Wait for our turn for at most `wait` s, then go. Raises Stopped, OutOfReach, Refused, ConsulError."""
        self._can_be_done()
        before = self._turn(wait)
        keeper = threading.Thread(target=self._hold, name="lock", daemon=True)
        keeper.start()
        note: Mapping[str, Any] | None = before
        try:
            self._others_are_well(before)
            note = self._note(UNDER_WAY)
            if not _patiently(lambda: self._lock.acquire(self._note(UNDER_WAY))):
                raise Stopped("cannot go on: somebody else has the turn by now")
            drained = self._go()
            note = self._note(DONE)
            return {"node": self._id, "drained": drained}
        except ConsulKamError as error:
            if note is not before:
                note = self._note(FAILED, str(error))
            raise
        finally:
            self._over.set()
            keeper.join(PATIENCE)
            self._lock.release(note)

    def _can_be_done(self) -> None:
        way = self._settings.kamailio
        if not self._settings.registration.enabled:
            raise Stopped("cannot go in turn: this node is not registered in Consul ([registration] enabled)")
        if not self._command and way.mode != "spawn" and not way.restart_file:
            cure = "name its command: --run 'systemctl restart kamailio'"
            raise Stopped(f"cannot restart kamailio: it is not ours; {cure}, or set [kamailio] restart_file")

    def _turn(self, wait: float) -> Mapping[str, Any]:
        """The note as the last one left it."""
        until, said = time.monotonic() + wait, ""
        while True:
            held = _patiently(self._lock.read)
            if not held.session and _patiently(lambda note=held.note: self._lock.acquire(note)):  # type: ignore[misc]
                return held.note
            who = str(held.note.get("node", "somebody"))
            if who != said:
                self._say(f"waits for its turn: {who} has it")
            said = who
            if time.monotonic() >= until:
                self._lock.release()
                raise Stopped(f"cannot go on: {who} still has the turn after {wait:g} s")
            _patiently(self._lock.renew)
            time.sleep(LOOK)

    def _hold(self) -> None:
        """On a thread of its own: the restart is waited for meanwhile."""
        while not self._over.wait(TTL / 3):
            try:
                if not self._lock.renew():
                    self._lost = "Consul has taken the turn away: it had not heard of us for too long"
                    return
            except ConsulError:  # it may come back in time
                continue

    def _others_are_well(self, before: Mapping[str, Any]) -> None:
        """Each other one passes, and who went last has come back, be it that he is not even registered any more."""
        until = time.monotonic() + PATIENCE
        while True:
            known = _patiently(lambda: self._agent.instances(self._name))
            why = why_not(self._id, known, before)
            if not why:
                return
            if time.monotonic() >= until:
                raise Stopped(f"cannot go on: {why}")
            time.sleep(LOOK)

    def _go(self) -> dict[str, Any]:
        drained = leaving.drain(self._settings, self._deadline, "rolling restart", self._force, self._say)
        if self._lost:
            raise Stopped(f"cannot go on: {self._lost}; it is drained, `consul-kam undrain` brings it back")
        self._say("starts anew")
        self._restart()
        self._ready()
        end = leaving.undrain(self._settings, 3 * PATIENCE)
        if not end["back"]:
            raise Stopped(f"cannot bring it back: {end['said']}")
        self._passing()
        self._say("is back")
        return drained

    def _restart(self) -> None:
        way = self._settings.kamailio
        before = _up_since(self._settings)
        if self._command:
            code, said = processes.output(shlex.split(self._command), without_secrets(), COMMAND)
            if code:
                last = f": {said[-1]}" if said else ""
                raise Stopped(f"cannot restart it: {self._command!r} ended with {code}{last}; it stays drained")
        elif way.mode == "spawn":
            request(self._settings, "restart", 60.0, process="kamailio")
            return
        else:
            files.write_atomic(Path(way.restart_file), b"consul-kam restart --rolling\n", 0o644)
        self._until(lambda: _up_since(self._settings) not in (None, before), PATIENCE)

    def _ready(self) -> None:
        steady = 0.0 if self._settings.kamailio.mode == "spawn" and not self._command else STEADY
        since: list[float] = []

        def well() -> bool:
            why[:] = [str(leaving.patiently(self._settings)["unwell"])]
            since[:] = [] if why[0] else since or [time.monotonic()]
            return bool(since) and time.monotonic() - since[0] >= steady

        why: list[str] = []
        if not self._until(well, READY):
            raise Stopped(f"cannot go on: it is not ready again within {READY:g} s: {why[0]}; it stays drained")

    def _passing(self) -> None:
        def passes() -> bool:
            known = _patiently(lambda: self._agent.instances(self._name))
            return any(each.id == self._id and each.passing for each in known)

        if not self._until(passes, 3 * PATIENCE):
            raise Stopped(f"cannot see {self._id} pass in Consul within {3 * PATIENCE:g} s; it is not drained any more")

    def _until(self, probe: Callable[[], bool], timeout: float) -> bool:
        until = time.monotonic() + timeout
        while not probe():
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK)
        return True

    def _note(self, state: str, why: str = "") -> dict[str, Any]:
        return {"node": self._id, "state": state, "why": why, "at": time.time()}


def why_not(own: str, known: tuple[Instance, ...], before: Mapping[str, Any]) -> str:
    """Why `own` may not leave now, or "". `before`: the note of whoever had the turn last."""
    bad = [f"{each.id} on {each.node}: {each.why}" for each in known if each.id != own and not each.passing]
    if bad:
        return f"not every other one passes: {'; '.join(bad[:4])}"
    last, state = str(before.get("node", "")), str(before.get("state", ""))
    if last and last != own and state != DONE and not any(each.id == last and each.passing for each in known):
        return f"{last} went before and did not come back ({state or 'unknown'}: {before.get('why') or 'no word'})"
    return ""


def _patiently(ask: Callable[[], T]) -> T:
    """A Consul that elects a leader is no reason to stop. Raises ConsulError after PATIENCE s."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except ConsulError:
            if time.monotonic() >= until:
                raise
            time.sleep(LOOK)


def _up_since(settings: Settings) -> object:
    try:
        return request(settings, "status")["kamailio"]["up_since"]
    except ConsulKamError:
        return None


def _consul(settings: Settings) -> Consul:
    given = settings.consul
    return Consul(given.address, given.token_file, given.ca_file, files_of(given))
