"""The node's registration, reconciled: from what shall be and what one agent says, what is to be done now.

Level-triggered: nothing is fired once, each look decides anew. Time is an argument (monotonic, s).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from consul_kam.core.registered import (
    CRITICAL,
    OURS,
    PASSING,
    Action,
    ClearMaintenance,
    Deregister,
    DropCheck,
    FeedTtl,
    Forget,
    Record,
    Register,
    Seen,
    Service,
    Wanted,
    body,
    nudge,
)
from consul_kam.core.registration_diff import differences, lost_in_catalog, of_checks, on, others, strays

PATIENCE = 3
"""How often within QUIET seconds what another hand changed is put right, before it is a war that we do not wage."""
QUIET = 600.0
MOVE = 10.0
"""Seconds that the agent that we are registered with has to be dead, says Consul, until we move to another: gossip errs
now and then, and who moves too soon leaves a ghost."""
RENEWED = "Consul's token is another one"
"""An agent tells the catalog of a service with the token that it was registered with, for ever: once that is deleted it
falls silent, and calls what it could not tell told (Consul: agent/local/state.go, `syncService`; tried)."""
LONGEST = 3600.0
"""A registration that is fought over is left alone for QUIET seconds, then twice that, at most so many."""


class Where(Enum):
    """What `status` says of the registration."""

    WAITING = "waiting"
    """Not registered: not ready yet, or nothing was seen yet."""
    REGISTERED = "registered"
    CONFLICT = "conflict"
    """Somebody else holds our ID, and we leave it to him for now."""
    ELSEWHERE = "elsewhere"
    """Another agent answers than the one that we are registered with."""


@dataclass(frozen=True, slots=True)
class State:
    """What this run remembers from one look to the next."""

    right: bool = False
    """At the last look, or after what was done then, all was right: a difference now is by another hand."""
    changes: tuple[float, ...] = ()
    """When another hand changed it, within QUIET s."""
    hold_until: float = 0.0
    """Until then it is left alone."""
    holds: int = 0
    """How often that came to be, without QUIET s of peace since."""
    contradicted: bool = False
    """Consul's own check failed while we were ready: then a new one begins critical."""
    renewed: bool = False
    """A check that had not run yet was registered anew, and has not been heard of since."""
    dead_since: float = 0.0
    """Since when another agent answers and ours is dead; 0: it is not."""
    fed: float = -QUIET
    """When the TTL check was fed."""
    missing: int = 0
    """Looks in a row at which the catalog did not hold what the agent holds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order; `record` is to be on disk before, `state` and `after` hold when all is done."""

    where: Where
    actions: tuple[Action, ...]
    record: Record
    after: Record
    state: State
    trouble: str = ""
    """What somebody should mend, or ""."""
    why: str = ""
    """What is put right, and why, for the journal."""


def reconcile(wanted: Wanted, record: Record, state: State, seen: Seen, ready: bool, now: float) -> Plan:
    """One look's answer. An empty `actions` is "nothing to do"."""
    idle = replace(state, right=False)
    if another_agent(record, seen):
        dead_since = (state.dead_since or now) if seen.pinned_lives is False else 0.0
        if not dead_since or now - dead_since < MOVE:
            trouble = _elsewhere(wanted, record, seen)
            return Plan(Where.ELSEWHERE, (), record, record, replace(idle, dead_since=dead_since), trouble)
    state = replace(state, dead_since=0.0)
    found = seen.service
    if found is not None and found.name != wanted.service.name and not record.of(found):
        trouble = f"cannot register {found.id}: on {on(seen)} that ID is service {found.name} at {found.at}"
        return Plan(Where.CONFLICT, (), record, record, idle, f"{trouble}; set [registration] id")
    before, (moved, why) = record, _moved(record, seen)
    record = replace(record, node=seen.node or record.node, maintenance=_foreign(wanted, record, seen))
    state = replace(state, contradicted=_contradicted(wanted, state, seen, ready))
    if ready or record.drain:
        plan = _Look(wanted, record, state, seen, ready, now).kept()
    else:
        plan = _not_ready(wanted, record, state, seen)
    why = "; ".join(filter(None, (why, plan.why)))
    return replace(plan, actions=moved + plan.actions, why=why, record=before if moved else plan.record)


def leaving(wanted: Wanted, record: Record, seen: Seen) -> tuple[Action, ...]:
    """What takes us out of Consul; nobody else's registration.

    Out of the catalog too, as far as that goes: an agent that came back under its name with another node ID is not
    heard there, and what its former self said stays (Consul: "Node name is reserved").
    """
    found = seen.service
    ours = found is not None and (_here(wanted, found) or record.of(found))
    old = seen.old is not None and record.of(seen.old)
    ids = [*([wanted.service.id] if ours else []), *([record.id] if old else [])]
    return (*map(Deregister, ids), *(Forget(seen.node, id) for id in ids if seen.node))


def _not_ready(wanted: Wanted, record: Record, state: State, seen: Seen) -> Plan:
    """What is there stays, and its checks speak; only what names a place that is no longer ours goes."""
    there = [service for service in (seen.service, seen.old) if service is not None and record.of(service)]
    gone: tuple[Action, ...] = tuple(
        Deregister(service.id) for service in there if service.place != wanted.service.place
    )
    here = seen.service is not None and _here(wanted, seen.service)
    fed = seen.check(wanted.ttl_id) if here and wanted.ttl else None
    feed = (FeedTtl(fed.id, CRITICAL),) if fed is not None and fed.status != CRITICAL else ()
    after = replace(record, id="", name="", address="", port=0) if gone else record
    why = f"{there[0].at} is no longer its place" if gone else ""
    if here and record.token != seen.token != "" and seen.service is not None and record.of(seen.service):
        gone = (Register(body(wanted, CRITICAL)),)  # its checks keep what they say
        after, why = replace(record, token=seen.token), RENEWED
    where = Where.REGISTERED if here else Where.WAITING
    return Plan(where, gone + feed, record, after, replace(state, right=False), others(wanted, seen), why)


@dataclass(frozen=True, slots=True)
class _Look:
    """A look while the node is to be registered."""

    wanted: Wanted
    record: Record
    state: State
    seen: Seen
    ready: bool
    now: float

    def kept(self) -> Plan:
        found, checks = self.seen.service, of_checks(self.wanted, self.seen)
        wrong = [*differences(self.wanted.service, found), *checks.values()] if found is not None else []
        renew = found is not None and self.record.token != self.seen.token != ""
        state = self._history(bool(wrong))
        if wrong and self.now < state.hold_until:
            trouble = f"cannot keep {self.wanted.service.id}: somebody changes it on {on(self.seen)} again and again"
            cure = "is there another node with this ID? It is left alone for a while"
            held = replace(state, right=False)
            return Plan(Where.CONFLICT, (), self.record, self.record, held, f"{trouble}: {wrong[0]}; {cure}")
        lost = lost_in_catalog(self.wanted, self.seen) if found is not None and not wrong else ""
        state = replace(state, missing=state.missing + 1 if lost else 0)
        if lost and (state.missing in (1, 2, 4) or state.missing % 8 == 0):
            wrong = [lost]
        trouble = others(self.wanted, self.seen)
        if state.missing > PATIENCE:
            trouble = f"cannot bring {self.wanted.service.id} into Consul's catalog: {lost}; the log of {on(self.seen)}"
            trouble += " says why: a token without the right, or a node ID that changed under its name"
        mine = self._mine()
        old = self.seen.old is not None and self.record.of(self.seen.old)
        # The record of the old ID stays until that is gone, and the token until the agent has the new one.
        before = self.record if old else replace(mine, token=self.record.token)
        why = self._first() if found is None else "; ".join(wrong) or (RENEWED if renew else "")
        fresh = self.ready and not state.contradicted
        unasked = fresh and self._unasked()
        state = replace(state, right=True, renewed=unasked or (state.renewed and not self._heard()))
        why = why or ("its agent has not asked its status page yet" if unasked else "")
        broken = [id for id in checks if self.seen.check(id) is not None] if found is not None else []
        broken += [self.wanted.http_id] if unasked else []
        actions = self._mend(fresh, broken, bool(why), renew or wrong == [lost])
        actions += (Deregister(self.record.id),) if old else ()
        if any(isinstance(action, FeedTtl) for action in actions):
            state = replace(state, fed=self.now)
        return Plan(Where.REGISTERED, actions, before, mine, state, trouble, why)

    def _history(self, wrong: bool) -> State:
        """Who changes it, and whether that has become a war."""
        state, now = self.state, self.now
        if self.seen.service is None:
            return replace(state, hold_until=0.0)  # whoever it was, he left
        recent = tuple(at for at in state.changes if now - at <= QUIET)
        if not wrong:
            peace = now - state.hold_until > QUIET
            return replace(state, changes=recent, holds=0 if peace else state.holds)
        if not state.right:
            return replace(state, changes=recent)
        recent = (*recent, now)
        if len(recent) <= PATIENCE and not state.holds:
            return replace(state, changes=recent)
        until = now + min(LONGEST, QUIET * 2**state.holds)
        return replace(state, changes=(), hold_until=until, holds=state.holds + 1)

    def _unasked(self) -> bool:
        """After a restart an agent says critical until it has asked, for up to `interval` seconds. Only once in a row:
        one with `discard_check_output` never shows that it has."""
        found = self.seen.check(self.wanted.http_id) if self.wanted.url and not self.state.renewed else None
        return found is not None and (found.status, found.output) == (CRITICAL, "")

    def _heard(self) -> bool:
        found = self.seen.check(self.wanted.http_id)
        return found is not None and found.output != ""

    def _mend(self, fresh: bool, broken: Sequence[str], wrong: bool, lost: bool) -> tuple[Action, ...]:
        """`broken`: checks that shall begin anew. Registering again keeps the status and output of a check whatever its
        definition, so these are taken away first. `lost`: the agent knows it all, the catalog does not, or will not."""
        wanted, seen, drain = self.wanted, self.seen, self.record.drain
        maintenance = seen.check(wanted.maintenance_id)
        reason = None
        if maintenance is None and drain:
            reason = drain
        elif seen.service is None:
            reason = self.record.maintenance
        elif maintenance is not None and lost:
            reason = maintenance.notes
        actions: list[Action] = [DropCheck(id) for id in dict.fromkeys([*strays(wanted, seen), *broken])]
        if wrong or (maintenance is None and drain):
            whole = body(wanted, PASSING if fresh else CRITICAL, reason)
            actions += [Register(nudge(whole))] if lost else []
            actions.append(Register(whole))
        actions += self._feed()
        if maintenance is not None and maintenance.notes.startswith(OURS) and not drain:
            actions.append(ClearMaintenance(wanted.service.id))
        return tuple(actions)

    def _feed(self) -> list[Action]:
        """What is good for `ttl` seconds is said anew after a third of that; not ready, once."""
        wanted, found = self.wanted, self.seen.check(self.wanted.ttl_id)
        status = PASSING if self.ready else CRITICAL
        said = found is not None and found.status == status
        due = self.ready and self.now - self.state.fed >= wanted.ttl / 3
        return [FeedTtl(wanted.ttl_id, status)] if wanted.ttl and (due or not said) else []

    def _mine(self) -> Record:
        is_ = self.wanted.service
        token = self.seen.token or self.record.token
        return replace(self.record, id=is_.id, name=is_.name, address=is_.address, port=is_.port, token=token)

    def _first(self) -> str:
        known = self.record.id == self.wanted.service.id
        return f"{on(self.seen)} had lost it" if known else "it is ready"


def _here(wanted: Wanted, found: Service) -> bool:
    return (found.name, found.place) == (wanted.service.name, wanted.service.place)


def another_agent(record: Record, seen: Seen) -> bool:
    """Whether it is not the one that we are registered with."""
    return bool(record.id and record.node) and seen.node not in ("", record.node)


def _elsewhere(wanted: Wanted, record: Record, seen: Seen) -> str:
    lives = {True: "is alive", False: "is dead, says Consul", None: "may be alive"}[seen.pinned_lives]
    trouble = f"cannot keep {wanted.service.id}: agent {seen.node} answers, but it is registered with {record.node}"
    return f"{trouble}, which {lives}; let [consul] address name one agent, no load balancer"


def _moved(record: Record, seen: Seen) -> tuple[tuple[Action, ...], str]:
    """The agent that we were registered with is no more: what is left of us there goes."""
    if not another_agent(record, seen):
        return (), ""
    left = any(row.node == record.node and row.service.id == record.id for row in seen.catalog or ())
    forget = (Forget(record.node, record.id),) if left else ()
    return forget, f"the agent is {seen.node} now, and was {record.node}"


def _foreign(wanted: Wanted, record: Record, seen: Seen) -> str | None:
    """The reason of a maintenance that is not ours; what was last seen where the agent lost the service."""
    if seen.service is None:
        return record.maintenance
    found = seen.check(wanted.maintenance_id)
    return None if found is None or found.notes.startswith(OURS) else found.notes


def _contradicted(wanted: Wanted, state: State, seen: Seen, ready: bool) -> bool:
    found = seen.check(wanted.http_id)
    if not ready or not wanted.url:
        return False
    if found is None or wanted.http_id in of_checks(wanted, seen) or (found.status, found.output) == (CRITICAL, ""):
        return state.contradicted
    return found.status == CRITICAL
