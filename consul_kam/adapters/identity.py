"""A certificate with its key and authorities, read as one, judged by OpenSSL, and followed while its files change.

The bytes that were judged are the bytes that are used: OpenSSL takes paths only, so it gets those of anonymous memory
(memfd_create(2)), never those of files that may change under it, and no key is written to a disk.
"""

import hashlib
import os
import ssl
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from consul_kam.adapters import files
from consul_kam.core.certificate import Certificate, NoCertificate, blocks, read
from consul_kam.errors import ConsulKamError

LARGEST = 2**20
"""Bytes of one file; a whole system's authorities are some 220 kB."""
TRIES = 3
"""Readings until two of them in a row are alike."""
AGAIN = 1.0
"""Seconds between two looks at what did not fit."""


class Unfit(ConsulKamError):
    """A pair that nobody shall use: it would be refused, or it is not whole."""


class Files(NamedTuple):
    """Paths of PEM files. `ca`: "" for none; `key` may be `certificate`'s own path."""

    certificate: str
    key: str
    ca: str = ""


class Table(Protocol):
    """A table of the configuration that names a certificate; one without `ca_file` checks nobody else's."""

    @property
    def cert_file(self) -> str: ...
    @property
    def key_file(self) -> str: ...


def files_of(table: Table) -> Files | None:
    """What it names; None: no certificate."""
    if not table.cert_file:
        return None
    return Files(table.cert_file, table.key_file or table.cert_file, getattr(table, "ca_file", ""))


@dataclass(frozen=True, slots=True)
class Identity:
    """What the files hold: PEM. `leaf`: of the certificate itself, the first of its file."""

    certificate: bytes
    key: bytes = field(repr=False)
    ca: bytes
    leaf: Certificate
    der: bytes = field(repr=False)

    @property
    def digest(self) -> str:
        """Of all three; it changes where only the chain or an authority does."""
        parts = (hashlib.sha256(part).digest() for part in (self.certificate, self.key, self.ca))
        return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def load(where: Files, names: Sequence[str] = (), now: float | None = None, closed: bool = True) -> Identity:
    """Raises Unfit, with what is wrong in one line.

    `names`: DNS names and IP addresses that it has to be good for, by which it also must be a server's. `now`: seconds
    since 1970, at which it has to be valid; None: whenever. `closed`: a key that everybody may read or write is none.
    """
    certificate, key, ca = _settled(where, closed)
    try:
        der = blocks(certificate)[0]
        leaf = read(der)
    except NoCertificate as error:
        raise Unfit(f"cannot use the certificate {where.certificate}: {error}") from None
    late = leaf.why_not(now) if now is not None else ""
    if late:
        raise Unfit(f"cannot use the certificate {where.certificate}: {late}")
    found = Identity(certificate, key, ca, leaf, der)
    _pair(found, where)
    for name in names:
        _good_for(found, name, where)
    return found


def context(identity: Identity, server: bool) -> ssl.SSLContext:
    """TLS 1.2 and newer with this certificate. A client's trusts `ca` alone and checks the name. Raises OSError."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    with memory(identity.certificate) as certificate, memory(identity.key) as key:
        made.load_cert_chain(certificate, key, password=_no_password)
    if identity.ca:
        made.load_verify_locations(cadata=identity.ca.decode("ascii", "ignore"))
    return made


@contextmanager
def memory(data: bytes) -> Iterator[str]:
    """A path to a copy that no other process of another user reads, for as long as the block lasts."""
    descriptor = kept(data)
    try:
        yield path_of(descriptor)
    finally:
        os.close(descriptor)


def kept(data: bytes) -> int:
    """Anonymous memory that holds `data`; the caller closes it. Raises OSError."""
    descriptor = os.memfd_create("consul_kam", os.MFD_CLOEXEC)
    try:
        files.write_all(descriptor, data)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def path_of(descriptor: int) -> str:
    """By which this process opens it."""
    return f"/proc/self/fd/{descriptor}"


def _settled(where: Files, closed: bool) -> tuple[bytes, bytes, bytes]:
    """All files as they were at one moment: another one may be swapping them, one after the other."""
    before: tuple[bytes, bytes, bytes] | None = None
    for _ in range(TRIES):
        found = _read(where.certificate, "the certificate"), _key(where.key, closed), b""
        found = (*found[:2], _read(where.ca, "the authorities") if where.ca else b"")
        if found == before:
            return found
        before = found
    raise Unfit(f"cannot use the certificate {where.certificate}: its files change all the time")


def _read(path: str, what: str) -> bytes:
    try:
        return files.read_regular(Path(path), LARGEST, follow=True)
    except OSError as error:
        raise Unfit(f"cannot read {what} {path}: {error.strerror or error}") from None


def _key(path: str, closed: bool) -> bytes:
    data = _read(path, "the key")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise Unfit(f"cannot read the key {path}: {error.strerror}") from None
    if closed and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise Unfit(f"cannot use the key {path}: everybody may read or write it; chmod o= {path}")
    return data


def _pair(identity: Identity, where: Files) -> None:
    """OpenSSL compares the public parts [SSL_CTX_use_PrivateKey(3)]."""
    if identity.ca:
        try:
            for block in blocks(identity.ca):
                read(block)
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=identity.ca.decode("ascii", "ignore"))
        except (NoCertificate, ssl.SSLError, ValueError) as error:
            reason = error if isinstance(error, NoCertificate) else "OpenSSL cannot read it"
            raise Unfit(f"cannot use the authorities {where.ca}: {reason}") from None
    try:
        context(identity, server=True)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH" or error.reason == "KEY_TYPE_MISMATCH":
            raise Unfit(f"cannot use the key {where.key}: it is not the key of {where.certificate}") from None
        raise Unfit(f"cannot use the key {where.key} with {where.certificate}: {_reason(error)}") from None
    except (OSError, ValueError) as error:
        raise Unfit(f"cannot use the key {where.key}: {getattr(error, 'strerror', None) or error}") from None


def _good_for(identity: Identity, name: str, where: Files) -> None:
    """A whole handshake in memory, by a client that trusts this certificate itself and wants this name."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=identity.der)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        ends = (
            client.wrap_bio(back, there, server_hostname=name),
            context(identity, server=True).wrap_bio(there, back, server_side=True),
        )
        _shake(ends)
    except ssl.SSLCertVerificationError as error:
        reason = error.verify_message.rstrip(".")
        raise Unfit(f"cannot use the certificate {where.certificate} for {name}: {reason}") from None
    except (ssl.SSLError, ValueError) as error:
        raise Unfit(f"cannot use the certificate {where.certificate} for {name}: {error}") from None


def _shake(ends: Sequence[ssl.SSLObject]) -> None:
    for _ in range(4):  # TLS 1.3 takes two rounds
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue


def _reason(error: ssl.SSLError) -> str:
    return (
        "there is no private key in it that OpenSSL can read"
        if error.reason in (None, "NO_START_LINE")
        else (error.reason.lower().replace("_", " "))
    )


def _no_password() -> str:
    raise ValueError("it is encrypted, and nobody is there to type its password")


@dataclass(slots=True)
class Followed:
    """The newest pair that fits: where the files hold another one that does not, the one before goes on.

    `look` costs three stat(2) while nothing changes. One thread's own.
    """

    where: Files
    names: tuple[str, ...] = ()
    closed: bool = True
    current: Identity | None = None
    trouble: str = ""
    """Why the files as they are now are not used, or ""."""
    _seen: object = None
    _again: float = 0.0

    def look(self, now: float) -> bool:
        """Whether there is another pair than before. `now`: seconds since 1970."""
        seen = tuple(map(_signature, self.where))
        # a clock that was put back is no reason to wait until it is there again
        if seen == self._seen and not (self.trouble and not self._again - AGAIN <= now < self._again):
            return False
        self._again = now + AGAIN  # what is not valid yet will be; what was being swapped is whole
        try:
            found = load(self.where, self.names, now, self.closed)
        except Unfit as error:
            self._seen, self.trouble = seen, str(error)
            return False
        self._seen, self.trouble = seen, ""
        other = self.current is None or found.digest != self.current.digest
        self.current = found
        return other


def _signature(path: str) -> object:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
