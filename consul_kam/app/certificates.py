"""The certificates of this node: Kamailio's, our HTTP endpoint's, ours for Consul. Followed while their files change.

Kamailio's has a flow of its own (kamailio_tls.py); the endpoint takes the newest that fits for each new connection;
Consul's client follows its files itself (adapters/consul.py), and what is told of it here is what it does.
"""

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from consul_kam.adapters.directory_lock import DirectoryLock
from consul_kam.adapters.identity import Followed, Unfit, context, files_of, load
from consul_kam.adapters.tls_store import CFG, TlsStore
from consul_kam.app.kamailio_tls import KamailioTls, Seen
from consul_kam.app.loop import Loop, Worker
from consul_kam.app.reports import Reporter
from consul_kam.config import Settings
from consul_kam.core.certificate import Certificate, moment
from consul_kam.core.ports import Rpc
from consul_kam.core.trap import CertificateFacts
from consul_kam.core.vitals import CertificateVitals
from consul_kam.errors import ConfigError

LOOK = 1.0
"""Seconds between two looks at the files."""
KAMAILIO, HTTP, CONSUL = "kamailio", "http", "consul"


@dataclass(frozen=True, slots=True)
class Use:
    """What one certificate is used for, and how that is. `leaf`: the one in use, None: there is none, or who knows."""

    name: str
    file: str
    leaf: Certificate | None = None
    trouble: str = ""
    restart: bool = False


class Certificates:
    """Every method on the decision thread, but for `server_context`."""

    def __init__(self, loop: Loop, settings: Settings, rpc: tuple[Worker, Rpc], reporter: Reporter) -> None:
        self._loop, self._reporter = loop, reporter
        self._followed: dict[str, Followed] = {}
        where = files_of(settings.http)
        if where is not None:
            self._followed[HTTP] = Followed(where)
        agent = files_of(settings.consul)
        if agent is not None:
            self._followed[CONSUL] = Followed(agent, closed=False)
        self.uses = {name: Use(name, each.where.certificate) for name, each in self._followed.items()}
        given, where = settings.kamailio.tls, files_of(settings.kamailio.tls)
        self.kamailio: KamailioTls | None = None
        if where is not None and kept(settings):
            self.kamailio = KamailioTls(loop, given, where, rpc, settings.kamailio.rpc_deadline, reporter)
            self.uses[KAMAILIO] = Use(KAMAILIO, given.cert_file)
        self._worker = Worker("certificates") if self.uses else None
        self._context: ssl.SSLContext | None = None
        self._busy = self._again = self._closed = False
        self._near: dict[str, str] = {}
        """Use -> fingerprint of the last one of which it was said that its end is near."""

    @property
    def waits_for(self) -> str:
        """Why Kamailio may not be started, or ""."""
        return self.kamailio.waits_for if self.kamailio is not None else ""

    @property
    def server_context(self) -> ssl.SSLContext | None:
        """For the next connection to our HTTP endpoint; None: there is no certificate yet. From any thread."""
        return self._context

    def start(self) -> None:
        """Look now, and from then on by itself. Raises ConfigError."""
        if self.kamailio is not None:
            self.kamailio.prepare()
        if self.uses:
            self._tick()

    def came_up(self) -> None:
        """Kamailio has just come up."""
        if self.kamailio is not None:
            self.kamailio.again()
            self._look()

    def close(self) -> None:
        self._closed = True
        if self._worker is not None:
            self._worker.close(0.5)

    def _tick(self) -> None:
        if not self._closed:
            self._look()
            self._loop.at(time.monotonic() + LOOK, self._tick)

    def _look(self) -> None:
        kamailio, worker = self.kamailio, self._worker
        self._again = self._busy
        if self._busy or self._closed or worker is None or (kamailio is not None and kamailio.reloading):
            return
        self._busy, due = True, kamailio is not None and kamailio.due

        def job() -> None:
            found = [self._one(name) for name in self._followed]
            seen = kamailio.look(time.time(), due) if kamailio is not None else None
            self._loop.post(lambda: self._looked(found, seen))

        worker.submit(job)

    def _one(self, name: str) -> Use:
        """On the worker."""
        followed = self._followed[name]
        changed = followed.look(time.time())
        current = followed.current
        if name == HTTP and changed and current is not None:
            self._context = context(current, server=True)
        return Use(name, followed.where.certificate, current.leaf if current else None, followed.trouble)

    def _looked(self, found: list[Use], seen: Seen | None) -> None:
        self._busy = False
        if self.kamailio is not None and seen is not None:
            self.kamailio.looked(seen, self._look)
            kamailio, use = self.kamailio, self.uses[KAMAILIO]
            found.append(replace(use, leaf=kamailio.in_use, trouble=kamailio.trouble, restart=kamailio.restart))
        for use in found:
            self._tell(self.uses[use.name], use)
            self.uses[use.name] = use
        if self._again:
            self._look()

    def _tell(self, before: Use, now: Use) -> None:
        """What is new, once."""
        if now.trouble and now.trouble != before.trouble:
            keeps = "; the one before goes on" if now.leaf is not None else ""
            self._reporter.warn(f"certificate of {now.name}: {now.trouble}{keeps}")
        leaf = now.leaf
        if leaf is not None and leaf != before.leaf:
            self._reporter.note(now.name, "certificate in use", serial=leaf.serial, until=moment(leaf.ends))
        if leaf is not None and leaf.near(time.time()) and leaf.fingerprint != self._near.get(now.name):
            self._near[now.name] = leaf.fingerprint
            ends = f"the certificate of {now.name} ({now.file}) ends at {moment(leaf.ends)}"
            self._reporter.warn(f"{ends}: less than a third of its life is left, and there is no newer one")

    def status(self) -> list[dict[str, Any]]:
        """For `status`."""
        now = time.time()
        return [_shown(use, now) for _, use in sorted(self.uses.items())]

    def vitals(self) -> tuple[CertificateVitals, ...]:
        now = time.time()
        return tuple(
            CertificateVitals(name, use.leaf.ends - now if use.leaf is not None else None, bool(use.trouble))
            for name, use in sorted(self.uses.items())
        )


def _shown(use: Use, now: float) -> dict[str, Any]:
    leaf = use.leaf
    return {
        "use": use.name,
        "file": use.file,
        "serial": leaf.serial if leaf else "",
        "fingerprint": leaf.fingerprint if leaf else "",
        "begins": leaf.begins if leaf else None,
        "ends": leaf.ends if leaf else None,
        "near": leaf is not None and leaf.near(now),
        "trouble": use.trouble,
        "restart": use.restart,
    }


def facts(settings: Settings) -> Iterator[CertificateFacts]:
    """What the files hold, for `doctor`."""
    tls = settings.kamailio.tls
    tables = (("kamailio.tls", tls, tuple(tls.names)), ("http", settings.http, ()), ("consul", settings.consul, ()))
    for name, table, names in tables:
        where = files_of(table)
        if where is not None:
            try:
                found = load(where, names, time.time(), closed=name != "consul")
                yield CertificateFacts(table=name, path=where.certificate, leaf=found.leaf)
            except Unfit as error:
                yield CertificateFacts(table=name, path=where.certificate, trouble=str(error))


def kept(settings: Settings) -> bool:
    """Whether Kamailio's certificate is kept here."""
    return bool(settings.kamailio.tls.cert_file) and settings.kamailio.mode != "none" and not settings.observe


def hold(settings: Settings) -> DirectoryLock:
    """The directory of Kamailio's certificate, which one engine alone may keep. Raises ConfigError."""
    given = settings.kamailio.tls
    try:
        return TlsStore(Path(given.directory), given.user).hold()
    except OSError as error:
        raise ConfigError(f"cannot use [kamailio.tls] directory {given.directory}: {error.strerror or error}") from None


def tls_cfg(settings: Settings) -> str:
    """The file that is kept for Kamailio, "" where none is."""
    given = settings.kamailio.tls
    return str(Path(given.directory) / CFG) if given.cert_file else ""
