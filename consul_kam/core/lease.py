"""When what Vault gave is renewed, asked for anew, no longer good; and how long to wait after a failure.

All times are seconds of one clock that only rises; chance is an argument too (`draw`, from 0 to below 1).
"""

import math
from dataclasses import dataclass, replace
from enum import Enum

SHARE = 2 / 3
"""Of its life a lease is left alone; the last third is for tries, and for old and new side by side."""
JITTER = 1 / 15
"""Of its life: so much earlier at most, so that a fleet which started together does not renew together."""
LEAST = 1 / 2
"""A renewal that gives less than this share of what the lease had at first has met its maximum: it is the last one."""
FIRST, LONGEST = 0.5, 15.0
"""Seconds: what the wait after a failure is drawn from at first, and at most."""
SOONEST, BRIEFEST = 0.1, 1.0
"""Seconds between two tries at least, and before something that was just given is renewed, or given again. Vault lends
whole seconds: of a lease of one second there is another each second, and no life is shorter."""
HURRY = 1 / 3
"""Of what is left of a lease: a wait is no longer, so that there are some tries before its end."""


@dataclass(frozen=True, slots=True)
class Lease:
    """What Vault lends: a secret, a certificate, or the token of a login.

    `taken`: when it was asked for, not when the answer came, so that our count of its end is never later than Vault's.
    """

    taken: float
    life: float | None = None
    """Seconds from `taken`; None: it does not end."""
    first: float | None = None
    """Its life when it was given."""
    renewable: bool = False
    id: str = ""
    """By which Vault renews and revokes it; "": it knows none."""
    draw: float = 0.0
    over: bool = False
    """Nothing is to be had from renewing it."""

    @property
    def ends(self) -> float:
        return math.inf if self.life is None else self.taken + self.life

    @property
    def due(self) -> float:
        """When to renew it, or to ask for another."""
        if self.over:
            return self.taken
        if self.life is None:
            return math.inf
        return self.taken + max(BRIEFEST, self.life * (SHARE - JITTER * self.draw))


def lent(taken: float, seconds: float, renewable: bool, id: str, draw: float) -> Lease:
    """As Vault answers: 0 seconds is one that does not end [Vault, "Tokens": root and period-less root tokens]."""
    life = seconds if seconds > 0 else None
    return Lease(taken, life, life, renewable, id, draw)


def extended(lease: Lease, taken: float, seconds: float, renewable: bool, draw: float) -> Lease:
    """After a renewal that gave it `seconds` from `taken` on. 0 of one that ends: it is at its end."""
    life = seconds if seconds > 0 or lease.first is not None else None
    short = life is not None and lease.first is not None and life < lease.first * LEAST
    return replace(lease, taken=taken, life=life, renewable=renewable, draw=draw, over=short)


def given_up(lease: Lease, now: float) -> Lease:
    """Vault will not renew it: another is due at once; its end stays."""
    left = None if lease.life is None else max(0.0, lease.ends - now)
    return replace(lease, taken=now, life=left, renewable=False, over=True)


def ended_by(lease: Lease, ends: float) -> Lease:
    """One that ends with something else at the latest: Vault revokes what a token asked for when that ends."""
    return replace(lease, life=max(0.0, ends - lease.taken)) if ends < lease.ends else lease


@dataclass(frozen=True, slots=True)
class Retry:
    """Failures in a row, and until when nothing is tried."""

    failures: int = 0
    until: float = -math.inf


def failed(before: Retry, now: float, draw: float, ends: float = math.inf) -> Retry:
    """One more: full jitter [AWS Architecture Blog, "Exponential Backoff And Jitter"], sooner where `ends` nears."""
    wait = draw * min(LONGEST, FIRST * float(2 ** min(before.failures, 20)))
    if ends > now:
        wait = min(wait, (ends - now) * HURRY)
    return Retry(before.failures + 1, now + max(SOONEST, wait))


class Verb(Enum):
    """What is done with Vault."""

    LOG_IN = "log in"
    PROLONG = "renew the login"
    ASK = "ask"
    RENEW = "renew"
    REST = "rest"
    """Nothing, ever."""


Step = tuple[float, Verb]
"""What comes next, and when."""


@dataclass(frozen=True, slots=True)
class Login:
    """`id`: which login it is; what was asked for with it names it."""

    token: str
    id: str
    lease: Lease

    def __repr__(self) -> str:
        return f"Login({self.id!r}, {self.lease!r})"


@dataclass(frozen=True, slots=True)
class Held:
    """One generation of a secret, as it lies on tmpfs. `digest`: of its fields; `at`: wall clock."""

    generation: int
    want: str
    """Digest of what was asked for."""
    login: str
    """The `id` of the login that asked."""
    digest: str
    lease: Lease
    version: int = 0
    """KV: as Vault counts; else 0."""
    at: float = 0.0
    serial: str = ""
    """PKI: the certificate's serial number."""


def next_login(login: Login | None, retry: Retry, now: float) -> Step:
    """What the login needs next."""
    if login is None:
        return retry.until, Verb.LOG_IN
    lease = login.lease
    if lease.ends <= now:  # one in its last moments, over and over, is no reason to ask Vault as fast as it answers
        return max(lease.taken + BRIEFEST, retry.until), Verb.LOG_IN
    if lease.due == math.inf:
        return math.inf, Verb.REST
    verb = Verb.PROLONG if lease.renewable and not lease.over else Verb.LOG_IN
    return max(lease.due, retry.until), verb


def next_secret(held: Held | None, want: str, every: float | None, login: Login | None, retry: Retry) -> Step:
    """What a secret needs next; nothing without a login. `every`: where it is read again and again (KV), s."""
    if login is None:
        return math.inf, Verb.REST
    if held is None or held.want != want or _orphan(held, login):
        return retry.until, Verb.ASK
    if every is not None:
        return max(held.lease.taken + every, retry.until), Verb.ASK
    if held.lease.due == math.inf:
        return math.inf, Verb.REST
    verb = Verb.RENEW if held.lease.renewable and held.lease.id and not held.lease.over else Verb.ASK
    return max(held.lease.due, retry.until), verb


def _orphan(held: Held, login: Login) -> bool:
    """A lease of a login that is no longer ours goes with that."""
    return bool(held.lease.id) and held.login != login.id


def end_of(held: Held, login: Login | None) -> float:
    """When it is no longer good: a lease ends with its login, if that is not renewed."""
    if login is not None and held.lease.id and held.login == login.id:
        return min(held.lease.ends, login.lease.ends)
    return held.lease.ends


class Standing(Enum):
    """How a secret is."""

    WAITING = "waiting"
    """It is not there."""
    GOOD = "good"
    LATE = "late"
    """Good, but what was due failed."""
    EXPIRED = "expired"


def standing(held: Held | None, login: Login | None, retry: Retry, now: float) -> Standing:
    if held is None:
        return Standing.WAITING
    if end_of(held, login) <= now:
        return Standing.EXPIRED
    return Standing.LATE if retry.failures else Standing.GOOD
