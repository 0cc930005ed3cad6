"""Secrets, as they are kept: what is known of each, what news of it mean, and what is known of Vault."""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from consul_kam.app.secret_work import Taken
from consul_kam.core import lease
from consul_kam.core.lease import Held, Login, Retry, end_of
from consul_kam.core.secret import Want
from consul_kam.errors import ConsulKamError, VaultRefused
from consul_kam.settings import VaultSettings


@dataclass(slots=True)
class Each:
    """One secret. `held`: what its files are; `old`: what they were before, still good."""

    want: Want
    held: Held | None = None
    old: Held | None = None
    retry: Retry = field(default_factory=Retry)
    trouble: str = ""
    number: int = 0
    """The highest generation there was."""
    renewals: int = 0
    failures: int = 0
    expired: bool = False
    """Its end was seen, and told."""
    had: bool = False
    """It was there, since we began."""
    gone: bool = False
    """Somebody took its files away."""

    def end(self, login: Login | None) -> float:
        """When it is no longer good; never, where it is not there."""
        return end_of(self.held, login) if self.held is not None else math.inf

    def usable(self, login: Login | None, now: float, keep: bool) -> bool:
        """Whether it has files that are good, be it as it was configured before; `keep`: also where it expired."""
        return self.there is not None and (keep or self.end(login) > now)

    @property
    def there(self) -> Held | None:
        """What its files are, as far as they are there."""
        return None if self.gone else self.held

    @property
    def outdated(self) -> bool:
        """Whether its files are as it was configured before."""
        return self.there is not None and self.there.want != self.want.digest

    def lost(self, gone: bool) -> bool:
        """What a look at its files says; returns whether that is news."""
        news, self.gone = gone != self.gone, gone
        if news:
            self.trouble = "its files were taken away" if gone else ""
        return news

    def left_before(self, now: float) -> float:
        """Seconds that what it was before is still good; inf: without end; 0: it is not."""
        if self.want.again is not None:
            return math.inf
        return max(0.0, self.old.lease.ends - now) if self.old is not None else 0.0

    def took(self, taken: Taken, now: float) -> list[Held]:
        """What came. The one before stays while it is good, for whoever still uses it. Returns what nobody needs."""
        before, self.held = self.held, taken.held
        self.number = max(self.number, taken.held.generation)
        self.renewals += before is not None
        self.retry, self.expired, self.gone, self.had = Retry(), False, False, True
        left_out = ", ".join(taken.left_out)
        self.trouble = f"it has fields that cannot be files: {left_out}" if left_out else ""
        if not taken.new:
            return []
        leaving, good = [self.old], before is not None and bool(before.want) and before.lease.ends > now
        self.old = before if good else None
        return [held for held in (*leaving, None if good else before) if held is not None]

    def renewed(self, held: Held) -> None:
        self.held, self.retry, self.trouble = held, Retry(), ""
        self.renewals += 1
        self.expired = False

    def failed(self, error: ConsulKamError, renewing: bool, now: float, login: Login | None) -> None:
        """What Vault will not renew is asked for anew, at once."""
        if renewing and isinstance(error, VaultRefused) and self.held is not None:
            self.held = replace(self.held, lease=lease.given_up(self.held.lease, now))
        else:
            self.trouble = str(error)
            self.retry = lease.failed(self.retry, now, random.random(), self.end(login))

    def bind(self, login: Login, ends: float) -> None:
        """What was asked for with that login is good until `ends` at most."""

        def bound(held: Held | None) -> Held | None:
            if held is None or not held.lease.id or held.login != login.id:
                return held
            return replace(held, lease=lease.ended_by(held.lease, ends))

        self.held, self.old = bound(self.held), bound(self.old)


@dataclass(slots=True)
class All:
    """All that is known. `trouble`: why Vault cannot be used at all; `login_trouble`: why it lets us not in; `ours`:
    what holds up nothing, on our own side."""

    given: VaultSettings
    each: Mapping[str, Each]
    login: Login | None = None
    trouble: str = ""
    login_trouble: str = ""
    ours: tuple[str, ...] = ()

    def login_now(self, now: float) -> Login | None:
        """One that is good."""
        return self.login if self.login is not None and self.login.lease.ends > now else None

    def missing(self, now: float) -> tuple[str, ...]:
        """Names of which there are no files that may be used."""
        keep = self.given.on_expiry == "keep"
        return tuple(name for name, each in self.each.items() if not each.usable(self.login, now, keep))

    @property
    def unlike(self) -> tuple[str, ...]:
        """Names of those that are not yet as they are configured, and nothing is known to stand against that."""
        return tuple(name for name, each in self.each.items() if each.outdated and not self.why(each))

    def first_end(self, now: float) -> float:
        """Of those that did not end yet, and of what was before them."""
        ends = [each.end(self.login) for each in self.each.values()]
        ends += [each.old.lease.ends for each in self.each.values() if each.old is not None]
        return min((end for end in ends if end > now), default=math.inf)

    def why(self, one: Each | None = None) -> str:
        """What stands against `one`, or any, or ""."""
        troubles = [each.trouble for each in ([one] if one is not None else self.each.values())]
        return next(filter(None, (self.trouble, self.login_trouble, *troubles)), "")
