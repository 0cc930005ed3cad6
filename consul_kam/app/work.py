"""The I/O of one dataset: every action of the release machine, carried out, comes back as its event.

Each method blocks and runs in the one worker of its resource (RPC or disk), so writes to Kamailio never overlap.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consul_kam.adapters import files, names
from consul_kam.adapters.releases import Releases
from consul_kam.core import events, reach
from consul_kam.core.change import Base, key_by_key
from consul_kam.core.dataset import Ask, Dataset
from consul_kam.core.events import Event
from consul_kam.core.plan import live_file, make_release
from consul_kam.core.ports import Reply, Rpc, Value
from consul_kam.core.records import Host, Key, Memory, Release
from consul_kam.errors import RpcError, RpcFault, RpcTimeout, RpcUnreachable

RELOAD_DEADLINE = 60.0
"""Seconds: rtpengine.reload pings every node in turn, 5 s for each that swallows packets (kamailio-facts.md, 5)."""
BATCH = 64
"""Keys changed by one packet: ctl serves no other client before it is through with it."""
QUICK = 0.2
"""Seconds within which a resolver that works answers."""


@dataclass(slots=True)
class Work:
    """`deadline`: seconds for one read. `resolve_deadline`: seconds for all hosts of a release."""

    dataset: Dataset
    rpc: Rpc
    live: Path
    releases: Releases
    deadline: float = 5.0
    resolve_deadline: float = 2.0
    resolve: Callable[[Collection[Host], float, bool], tuple[Host, ...]] = field(
        default_factory=lambda: names.Lookups().failing
    )
    unanswered: Callable[[Sequence[str], float], tuple[str, ...]] = names.unanswered
    base: Base = field(default_factory=Base)
    """What a change key by key starts from; `proven` is at the start the last known good."""
    _riding: tuple[events.DoWrite, Mapping[Key, str]] | None = None
    """The states that ride in the live file as last written."""
    _wrote: events.DoWrite | None = None
    """What the live file was last written for, and not yet applied."""
    _published: tuple[tuple[int, int, int], str] = field(default=((-1, -1, -1), ""))
    """Signature and digest of the live file as published."""

    # -- RPC worker -----------------------------------------------------------------------------------------------

    def memory(self) -> Memory:
        """What Kamailio holds. Raises RpcError."""
        return self.dataset.decode([self._ask(ask) for ask in self.dataset.readback])

    def read(self, action: events.DoRead) -> Event:
        try:
            memory = self.memory()
        except (RpcUnreachable, RpcTimeout) as error:
            return events.Unreachable(action.op, str(error))
        except RpcError as error:
            return events.ReadFailed(action.op, str(error))
        return events.Read(action.op, memory, self.file_right())

    def read_states(self, action: events.DoRead, known: Memory) -> Event:
        """As `read`, where memory was proven to be `known`: keys and states alone cost half. All else is read where
        the keys are other ones.
        """
        states = self.dataset.states
        if states is None:
            return self.read(action)
        try:
            now = states.decode(self._ask(states.ask))
        except RpcError:
            return self.read(action)
        if [entry.key for entry in now] != [entry.key for entry in known]:
            return self.read(action)
        memory = [
            before if before.state == entry.state else replace(before, state=entry.state, disabled=entry.disabled)
            for before, entry in zip(known, now, strict=True)
        ]
        return events.Read(action.op, tuple(memory), self.file_right())

    def apply(self, action: events.DoApply) -> Event:
        riding, self._riding = self._riding, None
        wrote, self._wrote = self._wrote, None
        try:
            if wrote is not None:
                asks, self.base = key_by_key(self.dataset.by_key, self.base, wrote.memory, wrote.release)
                if asks is not None:
                    return self._change(action.op, asks)
            before = self._reload(riding is not None)
        except RpcFault as fault:
            if any(text in fault.reason.lower() for text in self.dataset.window.faults):
                return events.Busy(action.op, time.monotonic() + self._until_open())
            return events.Faulted(action.op, str(fault))
        except RpcUnreachable as error:
            return events.Unreachable(action.op, str(error))
        except RpcError as error:
            return events.Faulted(action.op, str(error))
        if riding is None or before is None or isinstance(before, RpcFault):
            return events.Applied(action.op)
        return self._put_back(action.op, *riding, before)

    def _change(self, op: int, asks: Sequence[Ask]) -> Event:
        """Raises RpcError. A key that fails stops none of the others: the read-back tells what is left to do."""
        faults: list[RpcError] = []
        for first in range(0, len(asks), BATCH):
            calls = [(ask.method, ask.params) for ask in asks[first : first + BATCH]]
            replies = self.rpc.call_in_order(calls, deadline=RELOAD_DEADLINE)
            faults += [reply for reply in replies if isinstance(reply, RpcError)]
        return events.Faulted(op, str(faults[0])) if faults else events.Applied(op, by_key=True)

    def _reload(self, watched: bool) -> Reply | None:
        """Reload; returns the states that memory had at that very moment, where they are `watched`. Raises RpcError."""
        states = self.dataset.states if watched else None
        asks = [states.ask, self.dataset.reload] if states is not None else [self.dataset.reload]
        calls = [(ask.method, ask.params) for ask in asks]
        *before, reloaded = self.rpc.call_in_order(calls, deadline=RELOAD_DEADLINE)
        if isinstance(reloaded, RpcError):
            raise reloaded
        return before[0] if before else None

    def _put_back(self, op: int, wrote: events.DoWrite, riding: Mapping[Key, str], before: Reply) -> Event:
        """What others changed after our reading, and the reload overwrote [findings.md, race]."""
        states = self.dataset.states
        assert states is not None
        done: list[tuple[Key, str]] = []
        failed = ""
        try:
            if isinstance(before, RpcError):
                raise before
            lost = dict(overwritten(self.dataset, wrote, riding, states.decode(before)))
            for key, state in {**lessened(self.dataset, wrote, riding), **lost}.items():
                ask = states.put_back(key, state)
                try:
                    self.rpc.call(ask.method, *ask.params, deadline=self.deadline)
                    done += [(key, state)] if key in lost else []
                except RpcFault as fault:  # not loaded, or gone again: the read-back will tell
                    failed = str(fault)
        except RpcError as error:
            failed = str(error)
        return events.Applied(op, tuple(done), failed)

    def inactivate(self, keys: tuple[Key, ...]) -> None:
        """Raises RpcError."""
        assert self.dataset.inactivate is not None
        for key in keys:
            ask = self.dataset.inactivate(key)
            self.rpc.call(ask.method, *ask.params, deadline=self.deadline)

    def _ask(self, ask: Ask) -> tuple[Value, ...]:
        try:
            return self.rpc.call(ask.method, *ask.params, deadline=self.deadline)
        except RpcFault as fault:
            if (fault.code, fault.reason) in ask.empty:
                return ()
            raise

    def _until_open(self) -> float:
        """Seconds to wait. Kamailio counts whole seconds of the wall clock and does not say how many
        (docs/findings.md, Windows): the next second's start is the next moment at which it may change its mind."""
        if self.dataset.window.attempts_count:
            return self.dataset.window.seconds
        return 1.0 - time.time() % 1.0 + 0.01

    # -- disk worker ----------------------------------------------------------------------------------------------

    def failing(self, hosts: Collection[Host]) -> tuple[Host, ...]:
        """Names that do not resolve, addresses that nothing connects to."""
        return self.resolve(hosts, self.resolve_deadline, False)

    def write(self, action: events.DoWrite) -> Event:
        lost = self.failing(reach.hosts_of(action.release))
        if lost:
            return events.Unresolved(action.op, lost)
        try:
            states = states_to_carry(self.dataset, action)
            self._riding = (action, states) if self.dataset.states is not None else None
            self._put(live_file(self.dataset, action.release, states, action.ours))
            self._wrote = action if self.dataset.by_key is not None else None
        except OSError as error:
            place = error.filename if isinstance(error, files.Unusable) else self.live
            return events.WriteFailed(action.op, f"cannot write {place}: {error.strerror or error}")
        pinged = sorted({record.pinged_name for record in action.release.records if record.pinged_name})
        return events.Wrote(action.op, len(self.unanswered(pinged, QUICK)) if pinged else 0)

    def publish(self, action: events.DoPublish, about: dict[str, Any]) -> Event:
        content = live_file(self.dataset, action.release, {}, action.ours)
        try:
            if not self._holds(content):
                self._put(content)
            files.sync(self.live)
            self.releases.publish(action.release.digest, content, about)
        except OSError as error:
            place = error.filename or self.live
            return events.PublishFailed(action.op, f"cannot write {place}: {error.strerror or error}")
        self._published = (self._signature(content), _digest(content))
        self.base = Base(action.release)
        return events.Published(action.op)

    def lay_down(self, release: Release, ours: frozenset[Key]) -> str:
        """Have the live file hold this release for a Kamailio that is about to start: there is no memory to ask for
        states. Returns what went wrong, or "".
        """
        lost = self.resolve(reach.connected(release), self.resolve_deadline, True)
        if lost:
            release = make_release(reach.for_a_start(release, lost))
        content = live_file(self.dataset, release, {}, ours)
        try:
            if not self._holds(content):
                self._put(content)
        except OSError as error:
            return f"cannot write {error.filename or self.live}: {error.strerror or error}"
        return ""

    def provide(self, release: Release, ours: frozenset[Key]) -> None:
        """Make the live file where there is none. One that is there stays: Kamailio may hold what it says."""
        if files.signature(self.live) == (0, 0, 0):
            with contextlib.suppress(OSError):  # whoever writes it in the end says what is wrong
                self._put(live_file(self.dataset, release, {}, ours))

    def _put(self, content: bytes) -> None:
        existing = files.read_if_there(self.live.parent / "version")
        companion = self.dataset.notation.companion(existing)
        if companion is not None and companion[1] != existing:
            files.write_atomic(self.live.parent / companion[0], companion[1])
        for name, empty in self.dataset.notation.needs().items():
            if not (self.live.parent / name).exists():
                files.write_atomic(self.live.parent / name, empty)
        files.write_atomic(self.live, content, later=True)

    def _signature(self, content: bytes) -> tuple[int, int, int]:
        """Of the file with this content, and of none that somebody put in its place since it was written."""
        found = files.signature(self.live)
        return found if self._holds(content) else (-1, -1, -1)

    def _holds(self, content: bytes) -> bool:
        """Whether the live file is a file with this content; whatever else stands there is replaced."""
        try:
            return files.read_regular(self.live, closed=True) == content
        except (FileNotFoundError, files.Unusable):
            return False

    def file_right(self) -> bool:
        """Whether the live file is as it was published; read only where it was touched since."""
        signature, digest = self._published
        now = files.signature(self.live)
        if now == signature:
            return now != (0, 0, 0)
        try:
            content = files.read_if_there(self.live)
        except OSError:
            return False
        right = content is not None and _digest(content) == digest
        if right:
            self._published = (now, digest)
        return right


def states_to_carry(dataset: Dataset, action: events.DoWrite) -> Mapping[Key, str]:
    """The states that ride in the live file: all but the disabling that ends with this release."""
    if dataset.carry is None:
        return {}
    carry, enable = dataset.carry, action.enable
    return {entry.key: state for entry in action.memory if (state := carry(entry.state, entry.key in enable))}


def overwritten(
    dataset: Dataset, wrote: events.DoWrite, riding: Mapping[Key, str], before: Memory
) -> list[tuple[Key, str]]:
    """The states of `before` (memory just before the reload) that were not those that rode, in a release now loaded.

    Our own disabling, and its end, are no loss. With no `carry` nothing can be lost.
    """
    carry = dataset.carry
    if carry is None:
        return []
    now = ((entry.key, carry(entry.state, entry.key in wrote.enable)) for entry in before)
    changed = {key: state for key, state in now if state and riding.get(key, state) != state}
    loaded = {record.key for record in wrote.release.records} if changed else set()
    return [(key, state) for key, state in changed.items() if key in loaded and key not in wrote.release.disabled]


def lessened(dataset: Dataset, wrote: events.DoWrite, riding: Mapping[Key, str]) -> dict[Key, str]:
    """The states that rode and are not, from a file, what they were in memory (`States.less`)."""
    states, ours = dataset.states, wrote.release.disabled
    if states is None:
        return {}
    rode = ((record, riding.get(record.key, "")) for record in wrote.release.records if record.key not in ours)
    return {record.key: state for record, state in rode if state and states.less(record, state)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
