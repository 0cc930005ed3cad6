"""Kamailio's certificate, kept: what the files hold is written for it, loaded, and proven by a handshake.

Level-triggered, as all else: the newest pair that fits is compared with what Kamailio shows to whoever connects.
`look` (files and handshake, on a worker) -> `looked` (decided, on the decision thread) -> `_reload` (on the RPC worker)
-> `look` again, which proves it. Where anything goes wrong tls.cfg names the old one again, so that a Kamailio that is
started meanwhile has it too.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from consul_kam.adapters import handshake
from consul_kam.adapters.handshake import NoHandshake
from consul_kam.adapters.identity import Files, Followed, Identity
from consul_kam.adapters.tls_store import AUTHORITIES, CERTIFICATE, CFG, KEY, PROVEN, WRITTEN, TlsStore
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.app.tls_rpc import Reloaded, TlsRpc
from consul_kam.core.backoff import backoff
from consul_kam.core.certificate import Certificate, moment
from consul_kam.core.ports import Rpc
from consul_kam.core.tls_cfg import Domains, text
from consul_kam.errors import ConfigError
from consul_kam.settings import Tls

NAME = "kamailio"
GUESS = "before a start"
"""In WRITTEN, where no handshake was possible: Kamailio is down, most likely; one that was late did not begin so."""
UNSEEN = "Kamailio gave no answer, and no handshake tells whether it has what is new beside the same certificate"
AGAIN, LONGEST = 30.0, 600.0
"""Seconds until a reload that failed is tried again; they double."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `shown`: the fingerprint that a handshake proved; "": it failed, as `away` says, or was not `tried`."""

    identity: Identity | None = None
    trouble: str = ""
    shown: str = ""
    away: str = ""
    proven: bool = False
    """Whether it was, as tls.cfg shall name it."""
    tried: bool = False
    startable: bool = False
    """Whether there is a tls.cfg to start with."""


class KamailioTls:
    """`look` on the worker, `_reload` on the RPC worker, never both at once; all else on the decision thread."""

    def __init__(
        self, loop: Loop, given: Tls, where: Files, rpc: tuple[Worker, Rpc], deadline: float, reporter: Reporter
    ) -> None:
        self._loop, self._given, self._reporter = loop, given, reporter
        self._followed = Followed(where, tuple(given.names))
        self._store = TlsStore(Path(given.directory), given.user)
        self._rpc, self._tls = rpc[0], TlsRpc(rpc[1], str(self._store.directory / CFG), deadline)
        self._seen, self._told = Seen(), Reloaded()
        self._asked = ""
        """Digest of the one that Kamailio said it took, or began with, and that the next handshake has to show."""
        self._guessed = False
        """Whether that is a guess: nobody was there to shake hands when tls.cfg was written, and none was asked."""
        self._before = ""
        """What tls.cfg said before that."""
        self._due = self._not_before = 0.0
        """Of the next handshake, and of the next reload; monotonic, s."""
        self._reached = time.monotonic()
        """When a handshake was last possible; at first: when we began."""
        self._failures = 0
        self.reloading = False
        self.in_use: Certificate | None = None
        """The one that Kamailio was seen to show, where it is ours."""

    def prepare(self) -> None:
        """Raises ConfigError."""
        try:
            self._store.prepare()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigError(f"cannot use [kamailio.tls] directory {self._given.directory}: {reason}") from None

    @property
    def waits_for(self) -> str:
        """Why Kamailio may not be started, or ""."""
        return "" if self._seen.startable else f"its certificate: {self._seen.trouble or 'nobody has looked yet'}"

    @property
    def trouble(self) -> str:
        """A Kamailio that is down, or still starts, is told by others."""
        lasting = time.monotonic() - self._reached >= self._given.every
        return self._seen.trouble or self._told.error or (self._seen.away if lasting else "")

    @property
    def restart(self) -> bool:
        """Whether the new one waits for a restart of Kamailio."""
        return self._told.restart

    @property
    def due(self) -> bool:
        """Whether the next look is to shake hands."""
        return time.monotonic() >= self._due

    def again(self) -> None:
        """Kamailio has just come up."""
        self._due = self._not_before = 0.0
        self._failures, self._told = 0, Reloaded()

    # -- on the worker ------------------------------------------------------------------------------------------------

    def look(self, now: float, due: bool) -> Seen:
        """`now`: seconds since 1970. `due`: shake hands; so does one that finds another pair."""
        fresh = self._followed.look(now)
        identity, trouble = self._followed.current, self._followed.trouble
        tried = due or fresh
        shown, away = self._shake(identity) if tried else ("", self._seen.away)
        try:
            if identity is not None:
                self._store.put(identity, self._followed.where.key)
                self._settle(identity, shown, bool(away))
                if fresh:  # where each waits for a restart, none of them is ever proven
                    self._store.tidy({identity.digest, self._store.proven})
        except OSError as error:
            trouble, identity = f"cannot write Kamailio's certificate: {_why(error)}", None
        proven = identity is not None and self._proven(identity)
        return Seen(identity, trouble, shown, away, proven, tried, bool(self._store.read(CFG)))

    def _shake(self, identity: Identity | None) -> tuple[str, str]:
        try:
            name = next(iter(self._given.names), "")
            return handshake.shown(self._given.connect, self._given.deadline, name, identity), ""
        except NoHandshake as error:
            return "", str(error)

    def _settle(self, identity: Identity, shown: str, away: bool) -> None:
        """What Kamailio said it took is written down as proven, or tls.cfg is as it was. Raises OSError."""
        named, wanted = self._store.read(CFG), self._cfg(identity)
        if away or not named:
            if named != wanted:  # it starts with the newest
                # a guess has to be proven wrong by the next handshake, where it is
                self._write(wanted, "" if self._alike(identity, named) else f"{identity.digest} {GUESS}")
        elif shown and self._asked == identity.digest:
            if shown == identity.leaf.fingerprint:
                self._store.write(PROVEN, self._proof(identity))
                self._store.tidy({identity.digest})
            else:
                self._store.write(CFG, self._before)
                if self._guessed:
                    self._store.write(WRITTEN, "")

    def _write(self, cfg: str, written: str) -> None:
        """WRITTEN first: who is killed in between finds another tls.cfg than that, and begins anew. Raises OSError."""
        self._store.write(WRITTEN, written)
        self._store.write(CFG, cfg)

    def _alike(self, identity: Identity, named: str) -> bool:
        """Whether Kamailio may show this certificate without having been told to load `identity`: only the chain, the
        authorities or who has to show one are others then, and no handshake with it proves these. `named`: tls.cfg.
        """
        return bool(named) and self._store.shows(identity.leaf, named)

    def _proof(self, identity: Identity) -> str:
        """The rest of tls.cfg is proven with it: whom it takes may be another one while all files are the same."""
        return f"{identity.digest} {hashlib.sha256(self._cfg(identity).encode()).hexdigest()[:16]}"

    def _proven(self, identity: Identity) -> bool:
        return self._store.read(PROVEN) == self._proof(identity) and self._store.read(CFG) == self._cfg(identity)

    def _cfg(self, identity: Identity) -> str:
        place = self._store.directory / identity.digest
        ca = str(place / AUTHORITIES) if identity.ca else ""
        servers = bool(identity.ca) if self._given.servers is None else self._given.servers
        return text(Domains(str(place / CERTIFICATE), str(place / KEY), ca, self._given.clients, servers))

    # -- on the decision thread ---------------------------------------------------------------------------------------

    def looked(self, seen: Seen, look: Callable[[], None]) -> None:
        """What follows from a look. `look`: has another one follow at once."""
        before, self._seen, identity = self._seen, seen, seen.identity
        if seen.tried:
            self._due = time.monotonic() + self._given.every
        if seen.shown:
            self._reached = time.monotonic()
        if identity is None or not seen.shown:
            return
        if before.identity is not None and before.identity.digest != identity.digest and self._failures:
            self._failures, self._not_before = 0, time.monotonic() + self._given.gap
        asked, self._asked = self._asked, ""
        if seen.shown == identity.leaf.fingerprint and seen.proven:
            self._in_force(identity, fresh=asked == identity.digest)
        elif asked == identity.digest and not self._guessed:
            self._failed(Reloaded("cannot load the certificate: Kamailio said Ok, and shows another one"))
        elif time.monotonic() < self._not_before:
            self._due = self._not_before
        else:
            self.reloading = True
            self._rpc.submit(lambda: self._reload(identity, look))

    def _in_force(self, identity: Identity, fresh: bool) -> None:
        leaf = self.in_use = identity.leaf
        self._failures, self._told = 0, Reloaded()
        if fresh:
            self._reporter.note(NAME, "certificate proven", serial=leaf.serial, until=moment(leaf.ends))

    def _failed(self, why: Reloaded) -> None:
        self._told, self._failures = why, self._failures + 1
        wait = self._given.every if why.restart else backoff(self._failures, AGAIN, LONGEST)
        self._due = self._not_before = time.monotonic() + wait

    def _reload(self, identity: Identity, look: Callable[[], None]) -> None:
        """On the RPC worker."""
        try:
            done = self._load(identity)
        except OSError as error:
            done = Reloaded(f"cannot write Kamailio's certificate: {_why(error)}")
        self._loop.post(lambda: self._reloaded(identity, done, look))

    def _load(self, identity: Identity) -> Reloaded:
        """Where tls.cfg named it before this Kamailio was started, it has it. Raises OSError."""
        who, wrong = self._tls.who()
        if wrong is not None:
            return wrong
        wanted, written = self._cfg(identity), f"{identity.digest} {who}"
        self._before = self._store.read(CFG)
        said, guess = self._store.read(WRITTEN), f"{identity.digest} {GUESS}"
        begun = self._before == wanted and said not in ("", written)
        self._guessed = begun and said == guess
        if begun:
            return Reloaded()
        self._write(wanted, written)
        done = self._tls.obstacle(self._given.apply) or self._tls.reload()
        if done.unsure and self._alike(identity, self._before):
            done = Reloaded(f"cannot load the certificate: {UNSEEN}")
        if done.error and not done.restart:
            self._store.write(CFG, self._before)
        return done

    def _reloaded(self, identity: Identity, done: Reloaded, look: Callable[[], None]) -> None:
        self.reloading = False
        if done.error:
            self._failed(done)
            return
        self._asked, self._due = identity.digest, 0.0
        self._not_before = time.monotonic() + self._given.gap
        look()


def _why(error: OSError) -> str:
    return f"{error.filename}: {error.strerror or error}" if error.filename else error.strerror or str(error)
