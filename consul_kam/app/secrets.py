"""Secrets from Vault, kept as files on tmpfs: logged in, renewed and asked for anew ahead of their end.

One step after the other, level-triggered: `_next` (on the decision thread) finds what is due by `core/lease.py`, the
worker does it, `_took` or `_failed` (decided) look again. Everybody else reads the files, and is told when they change.
"""

import random
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from consul_kam.app import secret_told
from consul_kam.app.loop import Loop
from consul_kam.app.reports import Reporter
from consul_kam.app.secret_access import NAMED, Access
from consul_kam.app.secret_each import All, Each
from consul_kam.app.secret_turns import Turns
from consul_kam.app.secret_work import Found, Hands, LoggedOut, NotKept, Replaced, Taken, clock
from consul_kam.config import Settings
from consul_kam.core import lease
from consul_kam.core.lease import Held, Verb
from consul_kam.core.vitals import VaultVitals
from consul_kam.errors import ConsulKamError, VaultAway, VaultError

LOOK = 60.0
"""Seconds between two looks at least."""


class Secrets:
    """Every method on the decision thread. `hands`: for a test; by default those for the real Vault. `look`: seconds
    between two looks at the files."""

    def __init__(
        self, loop: Loop, settings: Settings, reporter: Reporter, hands: Hands | None = None, look: float = LOOK
    ) -> None:
        self._every = look
        self._loop, self._given, self._reporter = loop, settings.vault, reporter
        self._patience = settings.node.boot_timeout
        self._all = All(self._given, {want.name: Each(want) for want in self._given.secrets})
        self._listeners: dict[str, list[Callable[[str], None]]] = {}
        self._hands = hands or Hands(self._given)
        self._turns = Turns(loop, NAMED, self._tell, self._next)
        self._access = Access(self._all, self._turns, self._hands, reporter)
        self._leaving: list[tuple[str, Held]] = []
        """Generations that nobody needs."""
        self._ended: list[tuple[Each, Held]] = []
        """Those whose files are to be removed."""
        self._found, self._looked = False, 0.0
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
        self._look()

    def close(self) -> None:
        self._hands.close()
        self._turns.close()

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of which there are no files that may be used."""
        return self._all.missing(clock())

    @property
    def new(self) -> tuple[str, ...]:
        """Of those that are missing: which were never there, since we began."""
        return tuple(name for name in self.missing if not self._all.each[name].had)

    @property
    def waits_for(self) -> str:
        """Why the node is not ready, or ""."""
        return self.lacks()

    def lacks(self, but: Collection[str] = ()) -> str:
        """The same, where it can do without some."""
        lacks = ", ".join(name for name in self.missing if name not in but)
        return f"{lacks} from Vault: {self._all.why() or 'asked for'}" if lacks else ""

    # -- the flow ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        names, self._looked = tuple(self._all.each), clock()
        self._turns.do(lambda: self._hands.find(names), self._took_up, self._access.closed)

    def _took_up(self, found: Found) -> None:
        self._found, self._all.login = True, found.login
        self._access.opened()
        self._leaving = list(found.leaving)
        for name, each in self._all.each.items():
            each.held, each.old = found.current.get(name), found.old.get(name)
            each.number, each.had = found.numbers.get(name, 0), each.held is not None

    def _look_again(self) -> None:
        """Somebody may have taken files away."""
        there = {name: each.held.generation for name, each in self._all.each.items() if each.held is not None}
        self._looked = clock()
        self._turns.do(lambda: self._hands.lost(there), self._saw, self._access.closed)

    def _saw(self, lost: Collection[str]) -> None:
        for name, each in self._all.each.items():
            if each.lost(each.held is not None and name in lost):
                self._changed(each)

    def _next(self) -> None:
        """What is due now is begun; else there is a timer for it."""
        now = clock()
        self._ends(now)
        self._first()
        wake = min(self._all.first_end(now), now + self._every)  # an end is seen also while Vault hangs
        if not self._turns.busy:
            when, act = min(self._steps(now), key=lambda step: step[0])
            if when <= now:
                act()
            else:
                wake = min(wake, when)
        self._turns.wake(wake - now)

    def _steps(self, now: float) -> list[tuple[float, Callable[[], None]]]:
        """What may be done, and when. What is equally due is done in this order."""
        if not self._found:
            return [(self._access.away.until, self._look)]
        if self._ended:
            return [(now, lambda: self._remove(*self._ended.pop()))]
        away = self._access.away.until
        steps = [self._access.step(now), (self._looked + self._every, self._look_again)]
        login = self._all.login_now(now)
        for each in self._all.each.values():
            want = each.want
            when, what = lease.next_secret(each.there, want.digest, want.again, login, each.retry)
            act = self._renew if what is Verb.RENEW else self._ask
            steps.append((max(when, away), lambda each=each, act=act: act(each)))  # type: ignore[misc]
        leaver = next((each for each in self._leaving if self._may_go(*each, now)), None)
        if leaver is not None and all(when > now for when, _ in steps):  # a revocation may take long
            steps.append((away, lambda: self._let_go(*leaver)))
        return steps

    def _may_go(self, name: str, held: Held, now: float) -> bool:
        """What is no longer configured stays until all is there that may have come in its place."""
        replaced = name in self._all.each or not self.missing
        return replaced and (self._all.login is not None or not _lent(held, now))

    # -- one secret ----------------------------------------------------------------------------------------------------

    def _ask(self, each: Each) -> None:
        login, held, number = self._all.login, each.held, each.number + 1
        assert login is not None
        self._turns.do(
            lambda: self._hands.ask(each.want, held, number, login),
            lambda taken: self._took(each, taken),
            lambda error: self._failed(each, error),
        )

    def _took(self, each: Each, taken: Taken) -> None:
        self._access.answered()
        before = each.held
        self._leaving += [(each.want.name, held) for held in each.took(taken, clock())]
        if taken.new:
            facts = {"secret": each.want.name, "kind": each.want.kind, "generation": taken.held.generation}
            self._reporter.note(NAMED, "secret changed" if before is not None else "secret obtained", **facts)
            self._changed(each)

    def _renew(self, each: Each) -> None:
        login, held = self._all.login, each.held
        assert login is not None
        assert held is not None
        self._turns.do(
            lambda: self._hands.renew(each.want, held, login),
            lambda again: self._renewed(each, again),
            lambda error: self._failed(each, error, renewing=True),
        )

    def _renewed(self, each: Each, held: Held) -> None:
        self._access.answered()
        each.renewed(held)

    def _failed(self, each: Each, error: ConsulKamError, renewing: bool = False) -> None:
        now = clock()
        if isinstance(error, LoggedOut | Replaced):
            if isinstance(error, LoggedOut):
                each.retry = lease.failed(each.retry, now, random.random(), each.end(self._all.login))
            self._access.lost(error)
            return
        each.failures += 1
        if isinstance(error, VaultAway):
            self._access.missed(error)
            return
        if isinstance(error, VaultError):
            self._access.answered()
        each.number += isinstance(error, NotKept)  # what is there half may be in the way
        each.failed(error, renewing, now, self._all.login)

    def _let_go(self, name: str, held: Held) -> None:
        login = self._all.login
        self._leaving.remove((name, held))

        def failed(error: ConsulKamError) -> None:
            if isinstance(error, VaultAway):
                self._access.hold_off()
            self._reporter.tell(f"{error}; it ends by itself", "warning")

        self._turns.do(lambda: self._hands.let_go(name, held, login), lambda _: None, failed)

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _ends(self, now: float) -> None:
        for each in self._all.each.values():
            if each.old is not None and each.old.lease.ends <= now:
                self._leaving.append((each.want.name, each.old))
                each.old = None
            if each.end(self._all.login) <= now and not each.expired:
                self._expire(each)
            elif each.held is not None and each.end(self._all.login) > now:
                each.expired = False

    def _expire(self, each: Each) -> None:
        each.expired, held = True, each.held
        stop = self._given.on_expiry == "stop"
        word = "its files are removed" if stop else "it goes on being used"
        why = f"; {self._all.why(each)}" if self._all.why(each) else ""
        self._reporter.tell(f"secret {each.want.name} has expired: {word}{why}", "error")
        self._reporter.note(NAMED, "secret expired", secret=each.want.name, removed=stop)
        if stop and held is not None:
            each.held = None
            self._ended.append((each, held))

    def _remove(self, each: Each, held: Held) -> None:
        self._turns.do(
            lambda: self._hands.remove(each.want.name, held),
            lambda _: self._changed(each),
            lambda error: self._reporter.tell(str(error), "error"),
        )

    def _changed(self, each: Each) -> None:
        for listener in self._listeners.get(each.want.name, ()):
            listener(each.want.name)

    # -- the first time ------------------------------------------------------------------------------------------------

    def _first(self) -> None:
        """What waits for the secrets goes on."""
        if self._go is not None and self._found and not self.missing and not self._all.unlike:
            go, self._go = self._go, None
            go()

    def _late(self) -> None:
        go, self._go = self._go, None
        if go is not None:
            lacks, why = ", ".join(self.missing or self._all.unlike), self._all.why() or "no answer"
            self._reporter.warn(
                f"going on without secrets from Vault: {lacks} did not come within {self._patience:g} s: {why}"
            )
            go()

    # -- what is told --------------------------------------------------------------------------------------------------

    def _tell(self) -> None:
        """What is new, once."""
        self._all.ours = tuple(filter(None, (self._hands.unfit, self._hands.unkept, self._hands.unread)))
        now = secret_told.troubles(self._all)
        for trouble in now:
            if trouble not in self._told:
                self._reporter.warn(f"secrets: {trouble}{secret_told.until(self._all, clock())}")
        self._told = now

    def left_before(self, name: str) -> float:
        """Seconds that what the secret was before is still good; inf: without end; 0: it is not."""
        return self._all.each[name].left_before(clock())

    def status(self) -> dict[str, Any] | None:
        """For `status` and `secrets`: no value, no lease's id. None where there is no [vault]."""
        return secret_told.status(self._all, clock()) if self.on else None

    def vitals(self) -> VaultVitals | None:
        return secret_told.vitals(self._all, clock()) if self.on else None


def _lent(held: Held, now: float) -> bool:
    """Whether Vault has something to revoke."""
    return bool(held.lease.id) and held.lease.ends > now
