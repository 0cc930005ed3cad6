"""Leaving without dropping a call: one TABLE of (phase, event) -> handler. `step` is pure.

Level-triggered: what is to be done follows from the phase alone (`announces`, `refuses`), and is done at each look.
docs/draining.md is generated from TABLE and from what each handler declares with `leads_to`. Times: s of one clock that
never goes back. What it rests on: ../shared/kamailio-facts.md, 11.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from consul_kam.errors import InvalidTransition


class Phase(Enum):
    """How far it is."""

    NONE = "NONE"
    ANNOUNCING = "ANNOUNCING"
    """In maintenance: peers choose us no more, and those that chose us before still may call."""
    REFUSING = "REFUSING"
    """New calls are refused; those that are up go on."""
    SETTLING = "SETTLING"
    """No call is left; the last BYE may still be on its way."""
    DRAINED = "DRAINED"
    """Over, as `how` says; out until somebody says otherwise."""


OPERATOR, END = "operator", "end"
"""Who asked for it: `consul-kam drain`, undone by word alone; or the end of `run`, undone by the next start."""
HTABLE, KEY = "consul_kam", "refuse"
"""The htable of examples/kamailio/drain.cfg, and what is said there."""
GONE = 10.0
"""Seconds without any sign of life of the program, after which there is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Seconds."""

    quiet_for: float = 35.0
    """Without a new call: longer than the peers' fr_timer, for a peer keeps the destinations that it chose at the
    INVITE. It is also what transactions get once no call is left."""
    announce_max: float = 60.0


@dataclass(frozen=True, slots=True)
class Counts:
    """One look at the program whose calls these are."""

    calls: int | None
    """Its own, up or being set up; None: it does not count them (no dialog module)."""
    accepted: int | None = None
    """Calls that it ever accepted."""
    busy: int = 0
    """Transactions that are not done."""
    epoch: str = ""
    """Another one after a restart, which forgets calls that go on."""


@dataclass(frozen=True, slots=True)
class Drain:
    """All that is known of it."""

    phase: Phase = Phase.NONE
    reason: str = ""
    by: str = ""
    """OPERATOR or END."""
    began: float = 0.0
    since: float = 0.0
    """When it came to this phase."""
    deadline: float = 0.0
    announced: bool = False
    """Consul has it."""
    quiet_since: float = 0.0
    """When it was announced, or the last new call was seen."""
    counts: Counts | None = None
    """As last seen."""
    blind: str = ""
    """Why the calls cannot be counted: then there is the deadline alone."""
    trouble: str = ""
    """What somebody may mend."""
    gone_since: float | None = None
    how: str = ""
    """Of DRAINED: how it ended."""
    clean: bool = False
    """Of DRAINED: no call was left."""

    @property
    def announces(self) -> bool:
        """Whether Consul shall show us in maintenance."""
        return self.phase is not Phase.NONE

    @property
    def refuses(self) -> bool:
        """Whether the program shall refuse new calls."""
        return self.phase in (Phase.REFUSING, Phase.SETTLING, Phase.DRAINED)


@dataclass(frozen=True, slots=True)
class Asked:
    """`lasts`: seconds until the deadline; `announces`: there is a Consul to tell."""

    reason: str
    by: str
    lasts: float
    announces: bool = True


@dataclass(frozen=True, slots=True)
class Looked:
    """One look. `phase`: in which it began, so that nothing is concluded from one that began before we refused."""

    phase: Phase
    announced: bool
    counts: Counts | None
    trouble: str = ""
    gone: bool = False
    """Neither RPC nor SIP answers."""


@dataclass(frozen=True, slots=True)
class Undone:
    """Somebody said so."""


Event = Asked | Looked | Undone
Handler = Callable[[Drain, Any, float, Policy], Drain]
GOES: dict[str, tuple[Phase, ...]] = {}
"""Handler name -> the phases it may lead to."""


def leads_to(*phases: Phase) -> Callable[[Callable[..., Drain]], Callable[..., Drain]]:
    """Declare where a handler may lead; no phase means that it stays."""

    def declare(handler: Callable[..., Drain]) -> Callable[..., Drain]:
        GOES[handler.__name__] = phases
        return handler

    return declare


@leads_to()
def stay(drain: Drain, event: Event, now: float, policy: Policy) -> Drain:
    """Ignored here, on purpose."""
    return drain


@leads_to(Phase.ANNOUNCING, Phase.REFUSING)
def ask(drain: Drain, event: Asked, now: float, policy: Policy) -> Drain:
    """Where nobody can be told there is nothing to wait for before new calls are refused."""
    first = Phase.ANNOUNCING if event.announces else Phase.REFUSING
    return Drain(first, event.reason, event.by, now, now, now + event.lasts, quiet_since=now)


@leads_to()
def ask_again(drain: Drain, event: Asked, now: float, policy: Policy) -> Drain:
    """A new deadline and reason; how far it is stays. What an operator asked for the end of `run` does not undo."""
    by = OPERATOR if OPERATOR in (drain.by, event.by) else END
    if event.by == END:
        return replace(drain, by=by, deadline=min(drain.deadline, now + event.lasts))
    return replace(drain, by=by, reason=event.reason, deadline=now + event.lasts)


@leads_to(Phase.ANNOUNCING)
def ask_anew(drain: Drain, event: Asked, now: float, policy: Policy) -> Drain:
    """Of one whose deadline took calls with it, more time is asked for."""
    after = ask_again(drain, event, now, policy)
    if drain.clean or event.by == END:
        return after
    return replace(_to(after, Phase.ANNOUNCING, now), began=now, quiet_since=now, how="")


@leads_to(Phase.NONE)
def undo(drain: Drain, event: Undone, now: float, policy: Policy) -> Drain:
    return Drain()


@leads_to(Phase.REFUSING, Phase.DRAINED)
def listen(drain: Drain, event: Looked, now: float, policy: Policy) -> Drain:
    """Until nobody called for long enough, by calls accepted: INVITEs would count retransmissions and re-INVITEs."""
    after = _note(drain, event, now)
    if event.announced and not drain.announced:
        after = replace(after, announced=True, quiet_since=now)
    if _over(after, now):
        return _over_by_time(after, now)
    counted = after.counts is not None and after.counts.accepted is not None and event.counts is not None
    quiet = after.announced and counted and now - after.quiet_since >= policy.quiet_for
    return _to(after, Phase.REFUSING, now) if quiet or now - after.began >= policy.announce_max else after


@leads_to(Phase.SETTLING, Phase.DRAINED)
def wait_for_calls(drain: Drain, event: Looked, now: float, policy: Policy) -> Drain:
    after = _note(drain, event, now)
    if _over(after, now):
        return _over_by_time(after, now)
    none = event.counts is not None and event.counts.calls == 0 and not after.blind
    return _to(after, Phase.SETTLING, now) if none and event.phase is drain.phase else after


@leads_to(Phase.REFUSING, Phase.DRAINED)
def wait_for_transactions(drain: Drain, event: Looked, now: float, policy: Policy) -> Drain:
    """0 dialogs is too early: a BYE may still be unanswered. A ping to the dead keeps a transaction: not for ever."""
    after = _note(drain, event, now)
    if _over(after, now):
        return _over_by_time(after, now)
    if event.counts is None or event.phase is not drain.phase:
        return after
    if event.counts.calls or after.blind:
        return _to(after, Phase.REFUSING, now)
    if not event.counts.busy:
        return replace(_to(after, Phase.DRAINED, now), how="no call is left", clean=True)
    if now - drain.since >= policy.quiet_for:
        how = f"no call is left; {event.counts.busy} transactions did not end within {policy.quiet_for:g} s"
        return replace(_to(after, Phase.DRAINED, now), how=how, clean=True)
    return after


@leads_to()
def look_on(drain: Drain, event: Looked, now: float, policy: Policy) -> Drain:
    return replace(drain, counts=event.counts or drain.counts, trouble=event.trouble, announced=event.announced)


def _to(drain: Drain, phase: Phase, now: float) -> Drain:
    return replace(drain, phase=phase, since=now)


def _note(drain: Drain, event: Looked, now: float) -> Drain:
    """What a look tells, wherever it is."""
    gone = (drain.gone_since if drain.gone_since is not None else now) if event.gone else None
    drain = replace(drain, trouble=event.trouble, gone_since=gone, announced=drain.announced or event.announced)
    counts, before = event.counts, drain.counts
    if counts is None:
        return drain
    blind = drain.blind
    if counts.calls is None:
        blind = "it does not count its calls (no dialog module)"
    elif before is not None and before.epoch and before.epoch != counts.epoch:
        blind = "it was started anew meanwhile, and has forgotten calls that go on"
    if before is not None and before.accepted != counts.accepted:
        drain = replace(drain, quiet_since=now)
    return replace(drain, counts=counts, blind=blind)


def _over(drain: Drain, now: float) -> bool:
    return now >= drain.deadline or (drain.gone_since is not None and now - drain.gone_since >= GONE)


def _over_by_time(drain: Drain, now: float) -> Drain:
    counts = drain.counts
    if now < drain.deadline:
        return replace(_to(drain, Phase.DRAINED, now), how="it is not there any more: nothing to wait for", clean=True)
    known = counts is not None and counts.calls is not None and not drain.blind
    left = f"{counts.calls} calls are left" if known and counts is not None else "nobody knows how many calls are left"
    return replace(_to(drain, Phase.DRAINED, now), how=f"the deadline has passed: {left}", clean=False)


TABLE: dict[Phase, dict[type, Handler]] = {
    Phase.NONE: {Asked: ask, Looked: stay, Undone: stay},
    Phase.ANNOUNCING: {Asked: ask_again, Looked: listen, Undone: undo},
    Phase.REFUSING: {Asked: ask_again, Looked: wait_for_calls, Undone: undo},
    Phase.SETTLING: {Asked: ask_again, Looked: wait_for_transactions, Undone: undo},
    Phase.DRAINED: {Asked: ask_anew, Looked: look_on, Undone: undo},
}


def step(drain: Drain, event: Event, now: float, policy: Policy) -> Drain:
    """One step. Raises InvalidTransition where a handler breaks its word: a defect of ours."""
    handler = TABLE[drain.phase][type(event)]
    after = handler(drain, event, now, policy)
    if after.phase is not drain.phase and after.phase not in GOES[handler.__name__]:
        raise InvalidTransition(f"cannot go from {drain.phase.name} to {after.phase.name} by {handler.__name__}")
    return after


_TIMES = ("began", "since", "deadline", "quiet_since")


def dump(drain: Drain, ahead: float) -> dict[str, Any]:
    """In JSON's types, for the next supervisor; `ahead`: of the wall clock before ours, s."""
    told = asdict(drain)
    return {**told, "phase": drain.phase.value, "gone_since": None, **{key: told[key] + ahead for key in _TIMES}}


def load(raw: object, ahead: float) -> Drain:
    """What `dump` wrote. Raises KeyError, TypeError, ValueError where it is damaged."""
    if not isinstance(raw, Mapping):
        raise TypeError("no table")
    told = dict(raw)
    told["phase"] = Phase(told["phase"])
    told["counts"] = Counts(**told["counts"]) if told["counts"] is not None else None
    for key in _TIMES:
        told[key] = float(told[key]) - ahead
    return Drain(**told)
