"""What Vault's answers say, as parsed JSON: logins and leases."""

import contextlib
import hashlib
from typing import Any, NamedTuple

from consul_kam.errors import VaultError

LONGEST = 10**10
"""Seconds of a lease: 300 years."""


class Given(NamedTuple):
    """What Vault answered. `seconds`: of the lease, 0: none, or without end."""

    data: Any
    seconds: float
    renewable: bool
    lease_id: str


class Entry(NamedTuple):
    """A login. `id`: its accessor, or, of a batch token, a digest."""

    token: str
    id: str
    seconds: float
    renewable: bool

    def __repr__(self) -> str:
        return f"Entry({self.id!r}, {self.seconds!r})"


def entry(what: str, answer: Any) -> Entry:
    """Of the answer to a login. `what` was asked for: "cannot `what`" is how it is told. Raises VaultError."""
    with contextlib.suppress(KeyError, TypeError, ValueError):
        auth = answer["auth"]
        token = auth["client_token"]
        if isinstance(token, str) and is_word(token.encode()):
            return Entry(
                token, _id(auth.get("accessor"), token), _seconds(auth["lease_duration"]), auth["renewable"] is True
            )
    raise VaultError(f"cannot {what}: Vault's answer has another shape")


def seen(what: str, token: str, answer: Any) -> Entry:
    """Of what Vault says of a token that somebody else made. Raises VaultError."""
    try:
        data = answer["data"]
        seconds = _seconds(data["ttl"])
        if data.get("expire_time") is not None:
            seconds = max(seconds, 0.001)  # whole seconds: 0 would be one that does not end
        return Entry(token, _id(data.get("accessor"), token), seconds, data.get("renewable") is True)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise VaultError(f"cannot {what}: Vault's answer has another shape") from None


def given(what: str, answer: Any) -> Given:
    """Of a secret, or of a lease that was renewed. Raises VaultError."""
    try:
        lease_id = answer.get("lease_id") or ""
        seconds = _seconds(answer.get("lease_duration") or 0)
        return Given(answer.get("data"), seconds, answer.get("renewable") is True, str(lease_id))
    except (TypeError, ValueError):
        raise VaultError(f"cannot {what}: Vault's answer has another shape") from None


def _seconds(given: Any) -> float:
    """Raises TypeError, ValueError."""
    if not 0 <= given < LONGEST:
        raise ValueError
    return float(given)


def _id(accessor: object, token: str) -> str:
    """A batch token has no accessor."""
    return accessor if isinstance(accessor, str) and accessor else hashlib.sha256(token.encode()).hexdigest()[:32]


def is_word(found: bytes) -> bool:
    """What a header takes as it is; another one is quoted in the error of who sends it."""
    return bool(found) and all(0x21 <= byte <= 0x7E for byte in found)
