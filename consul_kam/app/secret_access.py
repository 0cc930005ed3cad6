"""Our way into Vault: the login and its renewal, and whether Vault answers at all."""

import math
import random
from collections.abc import Callable
from dataclasses import replace

from consul_kam.app.reports import Reporter
from consul_kam.app.secret_each import All
from consul_kam.app.secret_turns import Turns
from consul_kam.app.secret_work import Hands, LoggedOut, Replaced, clock
from consul_kam.core import lease
from consul_kam.core.lease import Login, Retry, Verb
from consul_kam.errors import ConsulKamError, VaultAway, VaultError, VaultRefused

NAMED = "secrets"
"""What its lines in the journal are filed under."""
REVOKING = 10.0
"""Seconds that leases are believed in after Vault forgot their login: long enough to get others first."""


class Access:
    """Used on the decision thread. `away`: until when Vault is left alone."""

    def __init__(self, known: All, turns: Turns, hands: Hands, reporter: Reporter) -> None:
        self._all, self._turns, self._hands, self._reporter = known, turns, hands, reporter
        self._retry = self.away = Retry()
        self._replaced = False
        """There is another token to log in with."""

    def step(self, now: float) -> tuple[float, Callable[[], None]]:
        """What the login needs next, and when."""
        if self._replaced:
            return self.away.until, lambda: self._enter(Verb.LOG_IN)
        when, verb = lease.next_login(self._all.login, self._retry, now)
        return max(when, self.away.until), lambda: self._enter(verb)

    def _enter(self, verb: Verb) -> None:
        login, self._replaced = self._all.login, False
        if verb is Verb.PROLONG and login is not None:
            self._turns.do(lambda: self._hands.prolong(login), self._entered, self._not_prolonged)
        else:
            self._turns.do(self._hands.log_in, self._entered, self._not_entered)

    def _entered(self, login: Login) -> None:
        before, self._all.login = self._all.login, login
        self._retry, self._all.login_trouble = Retry(), ""
        self.answered()
        if before is not None and before.id != login.id:
            self._bind(before, before.lease.ends)
        if before is None or before.id != login.id:
            self._reporter.note(NAMED, "logged in to Vault", method=self._all.given.auth.method)

    def _not_prolonged(self, error: ConsulKamError) -> None:
        login = self._all.login
        if isinstance(error, LoggedOut | Replaced):
            self.lost(error)
            return
        if isinstance(error, VaultRefused) and login is not None:
            self._all.login = replace(login, lease=lease.given_up(login.lease, clock()))
        self._not_entered(error)

    def _not_entered(self, error: ConsulKamError) -> None:
        """The login that we may have is as good as it was."""
        if isinstance(error, VaultAway):
            self.missed(error)
            return
        if isinstance(error, VaultError):
            self.answered()
        self._all.login_trouble = str(error)
        ends = self._all.login.lease.ends if self._all.login is not None else math.inf
        self._retry = lease.failed(self._retry, clock(), random.random(), ends)

    def lost(self, error: LoggedOut | Replaced) -> None:
        """Another login at once; what the old one asked for goes with it. One that is good goes on until then."""
        self._reporter.tell(f"{error}: logging in anew", "warning")
        login = self._all.login
        if isinstance(error, Replaced):
            self._replaced = True
        elif login is not None:
            self._all.login = None
            self._bind(login, min(login.lease.ends, clock() + REVOKING))

    def _bind(self, login: Login, ends: float) -> None:
        """What a login that is no longer ours asked for ends with it."""
        for each in self._all.each.values():
            each.bind(login, ends)

    def missed(self, error: ConsulKamError) -> None:
        """Sealed, down, or not to be reached: all waits."""
        self._all.trouble = str(error)
        self.hold_off()

    def hold_off(self) -> None:
        """Nothing is asked for a while, but not beyond what ends next."""
        now = clock()
        self.away = lease.failed(self.away, now, random.random(), self._all.first_end(now))

    def answered(self) -> None:
        """Whatever it was that it said."""
        if self._all.trouble:
            self._reporter.tell("Vault answers again")
        self.opened()

    def closed(self, error: ConsulKamError) -> None:
        """Secrets have no place. Looked at again: a tmpfs may be mounted late."""
        self._all.trouble = str(error)
        self.away = lease.failed(self.away, clock(), random.random())

    def opened(self) -> None:
        """Nothing stands in the way."""
        self._all.trouble, self.away = "", Retry()
