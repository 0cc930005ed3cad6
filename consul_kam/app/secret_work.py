"""What is done with Vault and on tmpfs for secrets, on the one worker that does it: no decision is taken here.

Times are of `clock`, which counts from the boot and goes on where we are not: what lies on tmpfs lives as long.
"""

import hashlib
import json
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from consul_kam.adapters.secret_store import SecretStore
from consul_kam.adapters.vault import How, Vault, token_of
from consul_kam.adapters.vault_wire import Entry, Given
from consul_kam.core import held as kept
from consul_kam.core.lease import Held, Lease, Login, extended, lent
from consul_kam.core.secret import Made, Want, make
from consul_kam.errors import ConfigError, ConsulKamError, VaultAway, VaultError, VaultForgot
from consul_kam.settings import VaultSettings

T = TypeVar("T")
VAIN = 60.0
"""Seconds until a token is tried again that did not let us in, while we have another."""


def clock() -> float:
    """Seconds since the boot, sleep included [clock_gettime(2), CLOCK_BOOTTIME]."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class NotKept(ConsulKamError):
    """What Vault gave could not be written: no matter of Vault's."""


class LoggedOut(ConsulKamError):
    """Vault does not know our token any more."""


class Replaced(ConsulKamError):
    """The token file has another token; ours is still good."""


@dataclass(frozen=True, slots=True)
class Found:
    """What outlived the last engine. `old`: name -> generation before the current one; `leaving`: those that nobody
    needs."""

    login: Login | None = None
    current: Mapping[str, Held] = field(default_factory=dict)
    old: Mapping[str, Held] = field(default_factory=dict)
    leaving: Sequence[tuple[str, Held]] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    """The highest generation there was, by name."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What an answer came to. `new`: another generation, with other fields."""

    held: Held
    new: bool
    left_out: tuple[str, ...] = ()


class Hands:
    """Every method raises ConsulKamError; `chance`: from 0 to below 1; `vault`: another than the one that is given.

    `unkept`: why what is known could not be written down; `unread`: why nobody can say whether the token file has
    another one; `unfit`: what a later look at the directory found; or "". They hold up nothing.
    """

    def __init__(
        self, given: VaultSettings, chance: Callable[[], float] = random.random, vault: Vault | None = None
    ) -> None:
        self._given, self._chance = given, chance
        certificate = (given.cert_file, given.key_file) if given.cert_file else None
        self._vault = vault or Vault(given.address, given.ca_file, certificate, given.namespace)
        self._store = SecretStore(given.directory)
        self._closed = False
        self.unkept = self.unread = self.unfit = ""
        self._vain, self._vain_until = "", 0.0
        """A token that did not let us in, and until when it is not tried again."""
        auth = given.auth
        self._how = How(
            auth.method,
            auth.mount,
            auth.role,
            auth.token_file,
            auth.role_id_file,
            auth.secret_id_file,
            auth.jwt_file,
        )
        whole = json.dumps([given.address, given.namespace, given.cert_file, self._how])
        self._digest = hashlib.sha256(whole.encode()).hexdigest()

    def close(self) -> None:
        """Nothing is published any more: another may have begun. From any thread."""
        self._closed = True

    # -- what is there -------------------------------------------------------------------------------------------------

    def find(self, wanted: Sequence[str]) -> Found:
        """Takes nothing away. Raises ConfigError where secrets must not lie in the directory."""
        self._store.prepare()
        now = clock()
        login = kept.load_login(self._store.login(), self._digest)
        if login is not None and (login.lease.ends <= now or login.lease.taken > now):
            login = None
        current, old, leaving, numbers = dict[str, Held](), dict[str, Held](), list[tuple[str, Held]](), {}
        for name, generations in self._generations().items():
            here = self._store.current(name)
            numbers[name] = generations[-1]
            for number in reversed(generations):
                held = self._held(name, number, now)
                if name in wanted and number == here:
                    current[name] = held
                elif name in wanted and name not in old and number < here and held.lease.ends > now:
                    old[name] = held
                elif name in wanted:
                    leaving.append((name, held))
                else:  # somebody may use it yet, until others came and everybody has them: it ends by itself
                    leaving.append((name, replace(held, lease=replace(held.lease, id=""))))
        return Found(login, current, old, leaving, numbers)

    def lost(self, generations: Mapping[str, int]) -> Sequence[str]:
        """Names that do not lead to their generation any more. The directory is made where it is missing."""
        try:
            self._store.prepare()
            self.unfit = ""
        except ConfigError as error:
            self.unfit = str(error)
        return [name for name, number in generations.items() if self._store.current(name) != number]

    def _generations(self) -> Mapping[str, list[int]]:
        try:
            return self._store.generations()
        except OSError as error:
            raise NotKept(f"cannot read {self._store.directory}: {error.strerror or error}") from None

    def _held(self, name: str, number: int, now: float) -> Held:
        """Of one whose description is lost, nothing is known: it is good, and asked for anew at once."""
        held = kept.load(self._store.about(name, number), number)
        return held if held is not None and held.lease.taken <= now else Held(number, "", "", "", Lease(now))

    # -- login ---------------------------------------------------------------------------------------------------------

    def log_in(self) -> Login:
        now = clock()
        try:
            login = self._login(self._vault.log_in(self._how), lambda entry: self._lent(now, entry))
        except VaultError as error:
            if not isinstance(error, VaultAway):
                self._vain, self._vain_until = token_of(self._how), now + VAIN
            raise
        self._vain = ""
        self._keep_login(login)
        return login

    def prolong(self, login: Login) -> Login:
        now = clock()
        draw = self._chance()
        again = self._login(
            self._with(login, lambda: self._vault.prolong(login.token)),
            lambda entry: extended(login.lease, now, entry.seconds, entry.renewable, draw),
        )
        self._keep_login(again)
        return again

    def _login(self, entry: Entry, lease: Callable[[Entry], Lease]) -> Login:
        return Login(entry.token, entry.id, lease(entry))

    def _lent(self, now: float, entry: Entry) -> Lease:
        return lent(now, entry.seconds, entry.renewable, entry.id, self._chance())

    def _keep_login(self, login: Login) -> None:
        self._noted(lambda: self._store.keep_login(kept.dump_login(login, self._digest)))

    def _same(self, login: Login) -> None:
        """Somebody may have put another token into the file; one that is gone is no reason to stop. Raises Replaced."""
        if self._how.method != "token":
            return
        try:
            found = token_of(self._how)
        except ConfigError as error:
            self.unread = str(error)
            return
        self.unread = ""
        if found != login.token and (found != self._vain or clock() >= self._vain_until):
            raise Replaced("the token file has another token")

    def _with(self, login: Login, call: Callable[[], T]) -> T:
        """Raises LoggedOut and Replaced too."""
        self._same(login)
        try:
            return call()
        except VaultForgot:
            raise LoggedOut("Vault no longer knows our token") from None

    # -- secrets -------------------------------------------------------------------------------------------------------

    def ask(self, want: Want, before: Held | None, number: int, login: Login) -> Taken:
        """Another one of `want`; published as generation `number` where it differs from `before`."""
        now, wall = clock(), time.time()
        given = self._with(login, lambda: self._vault.give(want.path, login.token, want.body))
        try:
            made = make(want, given.data)
            lease = self._lease(want, given, made, now, wall)
            same = before is not None and (before.want, before.digest) == (want.digest, made.digest)
            same = same and before is not None and self._store.current(want.name) == before.generation
            held = Held(number, want.digest, login.id, made.digest, lease, made.version, wall, made.serial)
            if same and before is not None:
                held = replace(held, generation=before.generation, at=before.at)
                self._note(want.name, held)
            else:
                self._publish(want, held, made)
        except ConsulKamError:
            self._give_back(given.lease_id, login)
            raise
        return Taken(held, not same, made.left_out)

    def _lease(self, want: Want, given: Given, made: Made, now: float, wall: float) -> Lease:
        """A certificate's life is its own; what is read again and again does not end.

        It is never longer than it says of itself: our wall clock may be behind.
        """
        if want.again is not None:
            return Lease(now)
        whole = min(made.lasts, want.ttl or math.inf)
        seconds = min(made.expires - wall, whole) if made.expires else given.seconds
        if made.expires and seconds <= 0:
            raise VaultError(f"cannot use {want.path}: its certificate has ended already: whose clock is wrong?")
        return lent(now, seconds, given.renewable and not made.expires, given.lease_id, self._chance())

    def renew(self, want: Want, held: Held, login: Login) -> Held:
        now = clock()
        given = self._with(login, lambda: self._vault.renew(held.lease.id, login.token))
        lease = extended(held.lease, now, given.seconds, given.renewable, self._chance())
        held = replace(held, lease=lease)
        self._note(want.name, held)
        return held

    def let_go(self, name: str, held: Held, login: Login | None) -> None:
        """Nobody needs that generation: its lease is revoked, its files go. Raises VaultAway; what Vault refuses ends
        with its lease."""
        try:
            if held.lease.id and login is not None and held.lease.ends > clock():
                self._vault.revoke(held.lease.id, login.token)
        finally:
            self.remove(name, held)

    def remove(self, name: str, held: Held) -> None:
        """An expired one, where policy says so, or one that nobody needs. Another may have come meanwhile."""
        if self._store.current(name) == held.generation:
            self._withdraw(name)
        self._store.drop(name, held.generation)

    def _withdraw(self, name: str) -> None:
        try:
            self._store.withdraw(name)
        except OSError as error:
            raise NotKept(f"cannot remove {self._store.directory / name}: {error.strerror or error}") from None

    def _publish(self, want: Want, held: Held, made: Made) -> None:
        if self._closed:
            raise NotKept(f"cannot write {self._store.directory / want.name}: it ends")
        try:
            self._store.publish(want.name, held.generation, made.files, kept.dump(held))
        except OSError as error:
            raise NotKept(f"cannot write {self._store.directory / want.name}: {error.strerror or error}") from None

    def _note(self, name: str, held: Held) -> None:
        self._noted(lambda: self._store.note(name, held.generation, kept.dump(held)))

    def _noted(self, write: Callable[[], None]) -> None:
        """What Vault did is done, also where the next engine will not know of it."""
        try:
            write()
        except OSError as error:
            self.unkept = f"cannot write {self._store.directory}: {error.strerror or error}"
        else:
            self.unkept = ""

    def _give_back(self, lease_id: str, login: Login) -> None:
        """What we cannot keep nobody shall have."""
        if lease_id:
            try:
                self._vault.revoke(lease_id, login.token)
            except VaultError:
                return  # it ends by itself
