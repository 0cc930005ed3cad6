"""One dataset's way from staging to memory: joins the pure parts (plan, guards, release machine) and holds their state.

No I/O here: everything that happens is a method call in the loop, everything to be done comes back as a
list of actions that the engine hands to its workers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf

from consul_kam.app.doing import Doing, Gate, Inactivate, Resolve, Wake
from consul_kam.app.remembered import Refusal, Staging
from consul_kam.core import events, reach, release
from consul_kam.core.backoff import backoff
from consul_kam.core.dataset import Dataset
from consul_kam.core.events import Action, Event, Halt, Phase, Read, Refuse, Report, Unresolve, Verdict, Wanted
from consul_kam.core.guards import Past
from consul_kam.core.plan import Known, Plan, Policy, make_release, plan
from consul_kam.core.records import Answer, Host, Key, Memory, Release
from consul_kam.core.state import State

PASSING = (Verdict.BUSY, Verdict.BLOCKED, Verdict.DEGRADED, Verdict.SUPERSEDED, Verdict.DRIFT)
"""Verdicts that are over once memory is right."""
WAITS = (Verdict.BUSY, Verdict.BLOCKED)
LOOK_UP_AGAIN = 5.0
"""Seconds between look-ups of a host name that does not resolve."""


@dataclass(slots=True)
class Pipeline:
    """`wall` is the wall clock (s) for what outlives a restart, `now` arguments are monotonic (s)."""

    dataset: Dataset
    policy: Policy
    state: State
    wall: Callable[[], float]
    parts: tuple[str, ...] = ("",)
    """The staging files that it is made of."""
    observe: bool = False
    past: Past = field(default_factory=Past)
    last: Release | None = None
    """What removals are counted from: the newest plan, at first the last known good."""
    previous: Release | None = None
    """The release that was published last, for the journal's difference."""
    staging: dict[str, Staging] = field(default_factory=dict)
    refusals: dict[Key, Refusal] = field(default_factory=dict)
    failing: dict[Host, float] = field(default_factory=dict)
    """Hosts that cannot be loaded, since when (wall clock, s)."""
    pinned: str = ""
    paused: bool = False
    verdict: Report | None = None
    verdict_at: float = 0.0
    pending_inactive: tuple[Key, ...] = ()
    told: Release | None = None
    """What the last PUBLISHED or HELD was said of."""
    gate: Gate | None = None
    """Where this list and others follow an order (core/order.py)."""
    wanted: Release | None = None
    """What memory shall hold in the end; what of it may be there now is the state's `newest`."""
    waits: bool = False
    """Some of it waits for another list."""
    shut_since: float | None = None
    """Since when Kamailio refuses each reload, wall clock, s."""
    awake_at: float = inf
    """When the one Wake that counts is due, monotonic s; those that it overtook are ignored."""
    rejected: bool = False
    """What was REJECTED has not been made good yet."""

    # -- what happens ---------------------------------------------------------------------------------------------

    def staged(self, part: str, digest: str, answer: Answer | None, error: str, now: float) -> list[Doing]:
        """A staging file was read: an answer, or the reason why it is none."""
        entry = self.staging.setdefault(part, Staging())
        entry.digest, entry.error, entry.at = digest, error, self.wall()
        if answer is None:
            return self._reject(error)
        entry.before, entry.answer = entry.answer, answer
        return self.replan(now)

    def disproved(self, part: str, digest: str, reason: str, now: float) -> list[Doing]:
        """The answer with this digest was no honest one: the one before it stands."""
        entry = self.staging.setdefault(part, Staging())
        if entry.digest == digest:
            entry.answer = entry.before
        # No digest: the same content, looked at again, may be honest then.
        entry.digest, entry.error, entry.at = "", reason, self.wall()
        return [*self._reject(reason), *self.replan(now)]

    def replan(self, now: float, approved: bool = False) -> list[Doing]:
        """Work out what memory shall hold, and want it. Nothing is wanted anew while pinned."""
        answers = {part: entry.answer for part, entry in sorted(self.staging.items()) if entry.answer is not None}
        if not answers or self.pinned:
            return []
        for part in self.parts:
            answers.setdefault(part, self._as_before(part))
        if self.failing:
            lists = [*(answer.records for answer in answers.values()), self.last.records if self.last else ()]
            needed = {record.host for records in lists for record in records}
            self.failing = {host: since for host, since in self.failing.items() if host in needed}
        made = plan(self.dataset, answers, self._known(), self.policy, self.wall(), approved)
        if made.release is None:
            return self._reject(made.rejected)
        return self._want(made, now)

    def on(self, event: Event, now: float) -> list[Doing]:
        """One event of the machine."""
        if isinstance(event, Read) and event.op == self.state.op:
            self._let_in(event.memory, now)
        self._heard(event)
        self.state, actions = release.step(self.state, event, now)
        done: list[Doing] = []
        for action in actions:
            done += self._act(action, now)
        return [*done, *self._tell(now)]

    def _heard(self, event: Event) -> None:
        """What it proves beside the machine: the window was open, each host of the target can be loaded."""
        target = self.state.target
        if isinstance(event, events.Applied):
            self.shut_since = None
        if isinstance(event, events.Wrote) and event.op == self.state.op and self.failing and target is not None:
            loads = reach.hosts_of(target)
            self.failing = {host: since for host, since in self.failing.items() if host not in loads}

    def want(self, wanted: Release, now: float) -> list[Doing]:
        """This shall be in memory, as soon as it may."""
        self.wanted = wanted
        return self.on(Wanted(self._allowed(self.state.memory, now)), now)

    def look_again(self, now: float) -> list[Doing]:
        """Another list changed: more of this one, or less, may be in memory now."""
        if self.wanted is None or self.state.newest is None:
            return []
        allowed = self._allowed(self.state.memory, now)
        resting = self.state.phase in (Phase.IDLE, Phase.DEGRADED)
        return self.on(Wanted(allowed), now) if resting and allowed.digest != self.state.newest.digest else []

    def wake(self, now: float) -> list[Doing]:
        """A hold may be over, a refused record or a lost name may be tried again."""
        if now < self.awake_at:
            return []
        self.awake_at = inf
        wall = self.wall()
        for refusal in self.refusals.values():
            refusal.trying = refusal.trying or refusal.retry <= wall
        looked_up: list[Doing] = [Resolve(tuple(self.failing))] if self.failing else []
        return [*looked_up, *self.replan(now)]

    def names_resolve(self, hosts: tuple[Host, ...], now: float) -> list[Doing]:
        """These can be loaded again."""
        for host in hosts:
            self.failing.pop(host, None)
        return self.replan(now) if hosts else []

    def for_a_start(self) -> tuple[Release, frozenset[Key]] | None:
        """What a Kamailio that is about to start shall load, and which of it is disabled by us; None: nothing is known.

        Nothing of an order between lists, nor of a window, holds for one that has no memory yet.
        """
        release = self.wanted or self.state.newest or self.state.lkg
        if release is None:
            return None
        self.state = replace(self.state, ours=self.state.ours | release.disabled)
        return release, self.state.ours & release.disabled

    # -- an operator's words --------------------------------------------------------------------------------------

    def approve(self, now: float) -> list[Doing]:
        """Ends holds and a pin."""
        if self.pinned:  # nobody has looked these up meanwhile
            self.failing = dict.fromkeys(self.failing, self.wall())
        self.pinned = ""
        return self.replan(now, approved=True)

    def pin(self, name: str, wanted: Release, now: float) -> list[Doing]:
        """A rollback: this release, until `approve`."""
        self.pinned = name
        self.last = wanted
        return self.want(wanted, now)

    def pause(self, on: bool, now: float) -> list[Doing]:
        self.paused = on
        return self.on(Halt(on or self.observe), now)

    # -- inside ---------------------------------------------------------------------------------------------------

    def _as_before(self, part: str) -> Answer:
        """A data centre that has not answered since the start: its records stay as they were."""
        return Answer(tuple(r for r in self.last.records if r.part == part) if self.last is not None else ())

    def _known(self) -> Known:
        self._forget_refusals()
        resting = {key: refusal.record for key, refusal in self.refusals.items() if not refusal.trying}
        return Known(self.last, self.past, resting, self._lost())

    def _lost(self) -> frozenset[Host]:
        """Names to do without: new ones at once, those in memory only after hold_for (design.md, rule 7; BLOCKED)."""
        if not self.failing:
            return frozenset()
        there = {entry.key for entry in self.state.memory or ()}
        records = self.last.records if self.last is not None else ()
        loaded = {record.host for record in records if record.key in there}
        return frozenset(host for host in self.failing if host not in loaded or self._is_overdue(host))

    def _is_overdue(self, host: Host) -> bool:
        return self.failing[host] <= self.wall() - self.policy.limits.hold_for

    def _want(self, made: Plan, now: float) -> list[Doing]:
        assert made.release is not None
        assert made.decision is not None
        self.rejected = any(entry.error for entry in self.staging.values())
        self.past, self.last = made.decision.past, made.release
        self.pending_inactive += made.decision.newly_held if self.policy.limits.probing else ()
        actions = self.want(made.release, now)
        due = [refusal.retry for refusal in self.refusals.values() if not refusal.trying]
        due += [made.decision.wake] if made.decision.wake is not None else []
        due += [self.wall() + LOOK_UP_AGAIN] if self.failing else []
        return [*actions, *self._wake_at(min(due), now)] if due else actions

    def _allowed(self, memory: Memory | None, now: float) -> Release:
        assert self.wanted is not None
        return self.wanted if self.gate is None else self.gate(self.wanted, memory, now)

    def _let_in(self, memory: Memory, now: float) -> None:
        """At each reading, which is where the machine takes up the newest, the order is looked at anew."""
        newest = self.state.newest
        if self.gate is None or self.wanted is None or newest is None:
            return
        allowed = self._allowed(memory, now)
        if allowed is not newest:
            standin = self.state.standin and allowed.digest == newest.digest
            self.state = replace(self.state, newest=allowed, standin=standin)

    def _wake_at(self, at: float, now: float) -> list[Doing]:
        """One timer at a time: each wake orders the next one, so more would never end."""
        due = now + max(0.0, at - self.wall())
        if due >= self.awake_at:
            return []
        self.awake_at = due
        return [Wake(at)]

    def _reject(self, reason: str) -> list[Doing]:
        self.rejected = True
        return self._act(Report(Verdict.REJECTED, None, reason), 0.0)

    def _act(self, action: Action, now: float) -> list[Doing]:
        if isinstance(action, Refuse):
            return self._refuse(action.keys, now)
        if isinstance(action, Unresolve):
            return self._unresolve(action.hosts, now)
        if isinstance(action, Report):
            waits = self.state.phase is Phase.WAITING and self.verdict is not None and self.verdict.verdict in WAITS
            if action.verdict is Verdict.SUPERSEDED and waits:
                return [action]  # the newer one waits for the same
            self.verdict, self.verdict_at = action, self.wall()
            if action.verdict is Verdict.BUSY:
                shut = self.shut_since if self.shut_since is not None else self.verdict_at
                self.shut_since = shut if self.state.waits_for == "window" else None
            if action.verdict in (Verdict.HELD, Verdict.PUBLISHED):
                self.told = action.release
                self.refusals = {key: refusal for key, refusal in self.refusals.items() if not refusal.trying}
                return [action, *self._inactivate()]
        return [action]

    def _tell(self, now: float) -> list[Doing]:
        """All is right, yet nothing was published: that trouble is over, or what is held or left out, is news."""
        target = self.state.target
        if self.state.phase is not Phase.IDLE or self.state.halted or not self.state.published or target is None:
            return []
        last = self.verdict.verdict if self.verdict is not None else None
        over = last in PASSING or (last is Verdict.REJECTED and not self.rejected)
        same = self.told is None or target is self.told or _left_out(target) == _left_out(self.told)
        if same and not over:
            return []
        return self._act(Report(Verdict.HELD if target.held else Verdict.PUBLISHED, target), now)

    def _refuse(self, keys: tuple[Key, ...], now: float) -> list[Doing]:
        records = {record.key: record for record in self.state.target.records} if self.state.target else {}
        for key in keys:
            before = self.refusals.get(key)
            times = before.times + 1 if before is not None and before.record == records[key] else 1
            wait = backoff(times, first=30.0, longest=600.0)
            self.refusals[key] = Refusal(records[key], times, self.wall() + wait)
        if self.pinned and self.last is not None:
            kept = [record for record in self.last.records if record.key not in keys]
            return self.pin(self.pinned, make_release(kept, refused=keys), now)
        return self.replan(now)

    def _forget_refusals(self) -> None:
        """A record that Consul no longer offers, or offers changed, starts with a clean sheet."""
        if not self.refusals:
            return
        offered = {
            record.key: record
            for entry in self.staging.values()
            if entry.answer is not None
            for record in entry.answer.records
        }
        self.refusals = {key: r for key, r in self.refusals.items() if offered.get(key) == r.record}

    def _unresolve(self, hosts: tuple[Host, ...], now: float) -> list[Doing]:
        wall = self.wall()
        self.failing = {host: self.failing.get(host, wall) for host in (*self.failing, *hosts)}
        # a rollback is not planned anew: what it goes without stays away until `approve`
        gone = reach.never(hosts).union(filter(self._is_overdue, hosts))
        if self.pinned and self.last is not None and gone:
            kept = [record for record in self.last.records if record.host not in gone]
            return self.pin(self.pinned, make_release(kept), now)
        before = self.last
        actions = self.replan(now)
        return actions if self.last is not before else []

    def _inactivate(self) -> list[Doing]:
        """Once, and only where another record of the set is live and active."""
        keys, self.pending_inactive = self.pending_inactive, ()
        held = self.state.target.held if self.state.target is not None else {}
        states = {entry.key: entry.state for entry in self.state.memory or ()}
        records = self.state.target.records if self.state.target is not None else ()
        groups = {r.key: r.group for r in records}
        serving = {r.group for r in records if r.key not in held and self.dataset.active(states.get(r.key, ""))}
        wanted = tuple(key for key in keys if key in held and groups.get(key) in serving)
        return [Inactivate(wanted)] if wanted and self.dataset.inactivate is not None else []

    # -- what it looks like ---------------------------------------------------------------------------------------

    @property
    def pending(self) -> bool:
        """Something is on its way, held or to be tried again: a detached engine has to stay."""
        resting = self.state.phase is Phase.IDLE
        waiting = bool(self.refusals or self.failing or (self.last is not None and self.last.held))
        return not resting or waiting or self.waits

    def current(self, part: str, digest: str) -> bool:
        """Whether this staging content was taken in already."""
        entry = self.staging.get(part)
        return entry is not None and entry.digest == digest


def _left_out(release: Release) -> tuple[object, ...]:
    """What a release says beside its list."""
    dropped = {(problem.source, problem.reason) for problem in release.dropped}
    return release.held.keys(), set(release.refused), dropped, release.named.keys()
