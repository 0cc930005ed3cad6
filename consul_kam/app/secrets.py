"""Secrets from Vault, kept as files on tmpfs: logged in, renewed and asked for anew ahead of their end.

One step after the other, level-triggered: `_next` (on the decision thread) finds what is due by `core/lease.py`, the
worker does it, `_took` or `_failed` (decided) look again. Everybody else reads the files, and is told when they change.
"""

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from consul_kam.app import secret_told
from consul_kam.app.loop import Loop
from consul_kam.app.reports import Reporter
from consul_kam.app.secret_each import Each, first_end
from consul_kam.app.secret_turns import Turns
from consul_kam.app.secret_work import Found, Hands, LoggedOut, NotKept, Taken, clock
from consul_kam.config import Settings
from consul_kam.core import lease
from consul_kam.core.lease import Held, Login, Retry, Verb
from consul_kam.core.vitals import VaultVitals
from consul_kam.errors import ConsulKamError, VaultAway, VaultRefused

NAMED = "secrets"
"""What its lines in the journal are filed under."""
REVOKING = 10.0
"""Seconds that leases are believed in after Vault forgot their login: long enough to get others first."""
LOOK = 60.0
"""Seconds between two looks at least."""
T = TypeVar("T")


class Secrets:
    """Every method on the decision thread. `hands`: for a test; by default those for the real Vault."""

    def __init__(self, loop: Loop, settings: Settings, reporter: Reporter, hands: Hands | None = None) -> None:
        self._loop, self._given, self._reporter = loop, settings.vault, reporter
        self._patience = settings.node.boot_timeout
        self._each = {want.name: Each(want) for want in self._given.secrets}
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        self._hands = hands
        self._turns = Turns(loop, NAMED, self._tell, self._next)
        self._login: Login | None = None
        self._login_retry = self._away = Retry()
        self._trouble = self._login_trouble = ""
        """Why Vault cannot be used at all; why it lets nobody in."""
        self._leaving: list[tuple[str, Held]] = []
        """Generations that nobody needs."""
        self._ended: list[tuple[Each, Held]] = []
        """Those whose files are to be removed."""
        self._found = False
        self._go: Callable[[], None] | None = None
        self._told: tuple[str, ...] = ()

    @property
    def on(self) -> bool:
        return self._given.on

    def path(self, name: str, field_: str) -> Path:
        """The file of a field; it may not be there yet."""
        return self._given.directory / name / field_

    def subscribe(self, name: str, listener: Callable[[str], None]) -> None:
        """`listener` is told the name when the files of that secret are others, or are gone."""
        self._listeners.setdefault(name, []).append(listener)

    def start(self, go: Callable[[], None]) -> None:
        """`go` is called once: when every secret is there, at once where there are none, or after `boot_timeout`."""
        if not self.on:
            go()
            return
        self._go = go
        self._loop.at(time.monotonic() + self._patience, self._late)
        self._turns.do(self._look, self._took_up, self._no_place)

    def close(self) -> None:
        if self._hands is not None:
            self._hands.close()
        self._turns.close()

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of which there are no files that may be used."""
        keep, now = self._given.on_expiry == "keep", clock()
        return tuple(name for name, each in self._each.items() if not each.usable(self._login, now, keep))

    @property
    def waits_for(self) -> str:
        """Why the node is not ready, or ""."""
        lacks = ", ".join(self.missing)
        return f"{lacks} from Vault: {self._why() or 'asked for'}" if lacks else ""

    # -- the flow ------------------------------------------------------------------------------------------------------

    def _look(self) -> Found:
        self._hands = self._hands or Hands(self._given)
        return self._hands.find(tuple(self._each))

    def _took_up(self, found: Found) -> None:
        self._found, self._trouble, self._away = True, "", Retry()
        self._login = found.login
        self._leaving = list(found.leaving)
        for name, each in self._each.items():
            each.held, each.old = found.current.get(name), found.old.get(name)
            each.number = found.numbers.get(name, 0)

    def _no_place(self, error: ConsulKamError) -> None:
        """Looked at again: a tmpfs may be mounted late."""
        self._trouble = str(error)
        self._away = lease.failed(self._away, clock(), random.random())

    def _next(self) -> None:
        """What is due now is begun; else there is a timer for it."""
        now = clock()
        self._ends(now)
        self._first()
        if self._turns.busy:
            return
        when, act = min(self._steps(now), key=lambda step: step[0])
        if when <= now:
            act()
        else:
            self._turns.wake(min(when, first_end(self._each.values(), self._login, now), now + LOOK) - now)

    def _steps(self, now: float) -> list[tuple[float, Callable[[], None]]]:
        """What may be done, and when. What is equally due is done in this order."""
        if not self._found:
            return [(self._away.until, lambda: self._turns.do(self._look, self._took_up, self._no_place))]
        if self._ended:
            return [(now, lambda: self._remove(*self._ended.pop()))]
        when, verb = lease.next_login(self._login, self._login_retry, now)
        steps = [(max(when, self._away.until), lambda: self._enter(verb))]
        leaver = next((each for each in self._leaving if self._login is not None or not _lent(each[1], now)), None)
        if leaver is not None:
            steps.append((self._away.until, lambda: self._let_go(*leaver)))
        login = self._login if self._login is not None and self._login.lease.ends > now else None
        for each in self._each.values():
            want = each.want
            when, what = lease.next_secret(each.held, want.digest, want.again, login, each.retry)
            act = self._renew if what is Verb.RENEW else self._ask
            steps.append((max(when, self._away.until), lambda each=each, act=act: act(each)))  # type: ignore[misc]
        return steps

    @property
    def _work(self) -> Hands:
        assert self._hands is not None
        return self._hands

    # -- login ---------------------------------------------------------------------------------------------------------

    def _enter(self, verb: Verb) -> None:
        login = self._login
        if verb is Verb.PROLONG and login is not None:
            self._turns.do(lambda: self._work.prolong(login), self._entered, self._not_entered)
        else:
            self._turns.do(self._work.log_in, self._entered, self._not_entered)

    def _entered(self, login: Login) -> None:
        before, self._login = self._login, login
        self._login_retry, self._login_trouble = Retry(), ""
        self._answered()
        if before is not None and before.id != login.id:
            self._bind(before, before.lease.ends)
        if before is None or before.id != login.id:
            self._reporter.note(NAMED, "logged in to Vault", method=self._given.auth.method)

    def _not_entered(self, error: ConsulKamError) -> None:
        login, ends = self._login, self._login.lease.ends if self._login is not None else math.inf
        if isinstance(error, LoggedOut):
            self._logged_out(error)
        elif isinstance(error, VaultAway):
            self._vault_away(error)
        else:
            if isinstance(error, VaultRefused):
                self._answered()
                if login is not None:  # what it will not renew
                    self._login = replace(login, lease=lease.given_up(login.lease, clock()))
            self._login_trouble = str(error)
            self._login_retry = lease.failed(self._login_retry, clock(), random.random(), ends)

    def _logged_out(self, error: ConsulKamError) -> None:
        """Another login at once; what the old one asked for goes with it."""
        login, self._login = self._login, None
        self._reporter.tell(f"{error}: logging in anew", "warning")
        if login is not None:
            self._bind(login, clock() + REVOKING)

    def _bind(self, login: Login, ends: float) -> None:
        """What a login that is no longer ours asked for ends with it."""
        for each in self._each.values():
            each.bind(login, ends)

    def _vault_away(self, error: ConsulKamError) -> None:
        """Sealed, down, or not to be reached: all waits, but not beyond what ends next."""
        self._trouble = str(error)
        self._away = lease.failed(
            self._away, clock(), random.random(), first_end(self._each.values(), self._login, clock())
        )

    def _answered(self) -> None:
        if self._trouble:
            self._reporter.tell("Vault answers again")
        self._trouble, self._away = "", Retry()

    # -- one secret ----------------------------------------------------------------------------------------------------

    def _ask(self, each: Each) -> None:
        login, held, number = self._login, each.held, each.number + 1
        assert login is not None
        self._turns.do(
            lambda: self._work.ask(each.want, held, number, login),
            lambda taken: self._took(each, taken),
            lambda error: self._failed(each, error),
        )

    def _took(self, each: Each, taken: Taken) -> None:
        self._answered()
        before = each.held
        self._leaving += [(each.want.name, held) for held in each.took(taken, clock())]
        if taken.new:
            facts = {"secret": each.want.name, "kind": each.want.kind, "generation": taken.held.generation}
            self._reporter.note(NAMED, "secret changed" if before is not None else "secret obtained", **facts)
            self._changed(each)

    def _renew(self, each: Each) -> None:
        login, held = self._login, each.held
        assert login is not None
        assert held is not None
        self._turns.do(
            lambda: self._work.renew(each.want, held, login),
            lambda again: self._renewed(each, again),
            lambda error: self._failed(each, error, renewing=True),
        )

    def _renewed(self, each: Each, held: Held) -> None:
        self._answered()
        each.renewed(held)

    def _failed(self, each: Each, error: ConsulKamError, renewing: bool = False) -> None:
        now = clock()
        if isinstance(error, LoggedOut):
            self._logged_out(error)
            return
        each.failures += 1
        if isinstance(error, VaultAway):
            self._vault_away(error)
            return
        self._answered()
        each.number += isinstance(error, NotKept)  # what is there half may be in the way
        each.failed(error, renewing, now, self._login)

    def _let_go(self, name: str, held: Held) -> None:
        login = self._login
        self._leaving.remove((name, held))

        def failed(error: ConsulKamError) -> None:
            self._reporter.tell(f"{error}; it ends by itself", "warning")

        self._turns.do(lambda: self._work.let_go(name, held, login), lambda _: None, failed)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _ends(self, now: float) -> None:
        for each in self._each.values():
            if each.old is not None and each.old.lease.ends <= now:
                self._leaving.append((each.want.name, each.old))
                each.old = None
            if each.end(self._login) <= now and not each.expired:
                self._expire(each)

    def _expire(self, each: Each) -> None:
        each.expired, held = True, each.held
        stop = self._given.on_expiry == "stop"
        word = "its files are removed" if stop else "it goes on being used"
        why = f"; {self._why(each)}" if self._why(each) else ""
        self._reporter.tell(f"secret {each.want.name} has expired: {word}{why}", "error")
        self._reporter.note(NAMED, "secret expired", secret=each.want.name, removed=stop)
        if stop and held is not None:
            each.held = None
            self._ended.append((each, held))

    def _remove(self, each: Each, held: Held) -> None:
        self._turns.do(
            lambda: self._work.remove(each.want.name, held),
            lambda _: self._changed(each),
            lambda error: self._reporter.tell(str(error), "error"),
        )

    def _changed(self, each: Each) -> None:
        for listener in self._listeners.get(each.want.name, ()):
            listener(each.want.name)

    # -- the first time ------------------------------------------------------------------------------------------------

    def _first(self) -> None:
        """What waits for the secrets goes on."""
        if self._go is not None and self._found and not self.missing:
            go, self._go = self._go, None
            go()

    def _late(self) -> None:
        go, self._go = self._go, None
        if go is not None:
            why = f"{', '.join(self.missing)} did not come within {self._patience:g} s: {self._why() or 'no answer'}"
            self._reporter.warn(f"going on without secrets from Vault: {why}")
            go()

    # -- what is told --------------------------------------------------------------------------------------------------

    def _why(self, each: Each | None = None) -> str:
        troubles = [other.trouble for other in ([each] if each is not None else self._each.values())]
        return next(filter(None, (self._trouble, self._login_trouble, *troubles)), "")

    def _tell(self) -> None:
        """What is new, once."""
        now = secret_told.troubles(self._told_of())
        for trouble in now:
            if trouble not in self._told:
                self._reporter.warn(f"secrets: {trouble}{secret_told.until(self._told_of(), clock())}")
        self._told = now

    def _told_of(self) -> secret_told.All:
        return secret_told.All(self._given, self._login, self._trouble, self._login_trouble, self._each)

    def left_before(self, name: str) -> float:
        """Seconds that what the secret was before is still good; inf: without end; 0: it is not."""
        each = self._each[name]
        if each.want.again is not None:
            return math.inf
        return max(0.0, each.old.lease.ends - clock()) if each.old is not None else 0.0

    def status(self) -> dict[str, Any] | None:
        """For `status` and `secrets`: no value, no lease's id. None where there is no [vault]."""
        return secret_told.status(self._told_of(), clock()) if self.on else None

    def vitals(self) -> VaultVitals | None:
        return secret_told.vitals(self._told_of(), clock()) if self.on else None


def _lent(held: Held, now: float) -> bool:
    """Whether Vault has something to revoke."""
    return bool(held.lease.id) and held.lease.ends > now
