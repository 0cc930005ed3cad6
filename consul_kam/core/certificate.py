"""X.509 certificates: as much of one as we tell of it [RFC 5280, 4.1], and when its end is near.

Whether a chain, a key and a name fit is OpenSSL's to judge (adapters/identity.py); here is only what it does not say.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

NEAR = 3
"""The end is near in the last third of a life: who renews at two thirds of it is late then."""
MOST = 1024
"""Certificates in one file that are looked at; a chain has three or four, a system's bundle of authorities 150."""
_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_SEQUENCE, _INTEGER, _UTC_TIME, _TIME, _VERSION = 0x30, 0x02, 0x17, 0x18, 0xA0


class NoCertificate(ValueError):
    """What is there is no certificate."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`serial`: hexadecimal; `begins`, `ends`: seconds since 1970; `fingerprint`: SHA-256, hexadecimal."""

    serial: str
    begins: float
    ends: float
    fingerprint: str

    def near(self, now: float) -> bool:
        """Whether less than a third of its life is left, or none."""
        return self.ends - now < (self.ends - self.begins) / NEAR

    def why_not(self, now: float) -> str:
        """Why nobody accepts it now, or ""."""
        if now < self.begins:
            return f"it is not valid before {moment(self.begins)}"
        return f"it expired at {moment(self.ends)}" if now >= self.ends else ""


def moment(at: float) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def blocks(pem: bytes) -> list[bytes]:
    """The certificates of a PEM file, in DER, in order. Raises NoCertificate where there is none."""
    found = []
    for number, match in enumerate(_BLOCK.finditer(pem)):
        if number == MOST:
            raise NoCertificate(f"it holds more than {MOST} certificates")
        try:
            found.append(base64.b64decode(b"".join(match[1].split()), validate=True))
        except binascii.Error:
            raise NoCertificate("what stands between BEGIN and END is no base64") from None
    if not found:
        raise NoCertificate("there is no BEGIN CERTIFICATE in it")
    return found


def read(der: bytes) -> Certificate:
    """Raises NoCertificate."""
    try:
        inner = next(_parts(_content(_content(der, _SEQUENCE), _SEQUENCE)))
        return Certificate(*inner, hashlib.sha256(der).hexdigest())
    except (IndexError, StopIteration, OverflowError):
        raise NoCertificate("it ends in the middle") from None


def _parts(body: bytes) -> Iterator[tuple[str, float, float]]:
    """TBSCertificate: [version,] serialNumber, signature, issuer, validity, ..."""
    kind, value, rest = _element(body)
    if kind == _VERSION:
        kind, value, rest = _element(rest)
    if kind != _INTEGER:
        raise NoCertificate("it has no serial number")
    for _ in ("signature", "issuer"):
        _, _, rest = _element(rest)
    validity = _content(rest, _SEQUENCE)
    first, begins, after = _element(validity)
    second, ends, _ = _element(after)
    yield value.hex(), _time(first, begins), _time(second, ends)


def _content(data: bytes, kind: int) -> bytes:
    found, value, _ = _element(data)
    if found != kind:
        raise NoCertificate("it has another shape")
    return value


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Kind, content and what follows [X.690, 8.1]. Raises IndexError where it is cut."""
    kind, length, start = data[0], data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    end = start + length
    if end > len(data):
        raise IndexError
    return kind, data[start:end], data[end:]


def _time(kind: int, value: bytes) -> float:
    """UTCTime or GeneralizedTime as certificates have them: to the second, in UTC [RFC 5280, 4.1.2.5]."""
    digits = value.decode("ascii", "replace")
    if kind == _UTC_TIME and re.fullmatch(r"[0-9]{12}Z", digits):
        digits = ("19" if digits >= "5" else "20") + digits
    elif kind != _TIME or not re.fullmatch(r"[0-9]{14}Z", digits):
        raise NoCertificate("its dates cannot be read")
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise NoCertificate("its dates cannot be read") from None
