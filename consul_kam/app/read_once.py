"""What consul-template reads once, at its start: the files of its token, its certificate and its authorities.

Another content needs another consul-template. Content that cannot be used does not: with that it would end, and it goes
on with what it has.
"""

import hashlib
import time
from pathlib import Path

from consul_kam.adapters import consul_tls, files
from consul_kam.adapters.identity import Followed, files_of
from consul_kam.settings.node import Consul


class ReadOnce:
    """One thread's own, but for `wrong`."""

    def __init__(self, given: Consul) -> None:
        self._given, mine = given, files_of(given)
        self._certificate = Followed(mine, closed=False) if mine is not None else None
        self._peer = consul_tls.peer(given.address, given.ca_file, mine)
        self._token = self._authorities = ""
        self.take()

    def take(self) -> None:
        """One is started with what is there now."""
        self._follow()
        self._token, self._authorities = self._token_now(), self._authorities_now()

    @property
    def marks(self) -> list[str]:
        """By which one that was adopted tells what it was started with; no secret."""
        current = self._certificate.current if self._certificate is not None else None
        return [mark for mark in (current.digest if current else "", self._token, self._authorities) if mark]

    def wrong(self) -> str:
        """Why none can be started, or ""."""
        return consul_tls.ours(self._peer) if self._peer is not None else ""

    def changed(self) -> str:
        """Why another one is needed, or ""."""
        if self._follow():
            return "its certificate for Consul changed"
        if self._authorities_now() != self._authorities:
            return "the authorities for Consul changed"
        return "Consul's token changed" if self._token_now() != self._token else ""

    def _follow(self) -> bool:
        """Whether there is another certificate than before, and one that fits: with another it would end."""
        return self._certificate is not None and self._certificate.look(time.time())

    def _token_now(self) -> str:
        """A file that is away or empty for a moment changes nothing."""
        path = self._given.token_file
        token = _read(path).strip() if path else b""
        return _mark(token) if token else self._token

    def _authorities_now(self) -> str:
        """Where there is no certificate of ours, with which they are followed."""
        path = self._given.ca_file
        if not path or self._certificate is not None or self._peer is None:
            return self._authorities
        mark = _mark(_read(path))
        if mark == self._authorities or self.wrong():  # who asks each second has OpenSSL judge only what is new
            return self._authorities
        return mark


def _read(path: str) -> bytes:
    try:
        return files.read_regular(Path(path), follow=True)
    except OSError:
        return b""


def _mark(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
