"""`secret://NAME/FIELD` in the configuration: a field of a secret of Vault's, which is a file (docs/vault.md)."""

import re
from dataclasses import dataclass

SCHEME = "secret://"
_WHOLE = re.compile(r"secret://([a-z][a-z0-9_]{0,31})/([A-Za-z0-9_][A-Za-z0-9._-]{0,63})")
TEXT = "text"
FIELDS = {
    "database": ("username", "password"),
    "consul": ("token",),
    "pki": ("certificate.pem", "key.pem", "ca.pem", "bundle.pem"),
}
"""Kind of secret -> its fields; those of a kind that is not here are whatever stands in Vault."""


@dataclass(frozen=True, slots=True)
class Reference:
    """`name`: of `[vault.secrets.NAME]`."""

    name: str
    field: str


def read(text: str) -> Reference | None:
    """None for what is no reference."""
    found = _WHOLE.fullmatch(text)
    return Reference(*found.groups()) if found is not None else None


def fields(kind: str, text: bool) -> tuple[str, ...] | None:
    """The fields of a secret; `text`: whether it has one made of the others. None: nobody can say."""
    known = FIELDS.get(kind)
    return None if known is None else (*known, TEXT) if text else known


def why_no_field(kind: str, text: bool, field: str) -> str:
    """What was expected instead of `field`, or ""."""
    known = fields(kind, text)
    return "" if known is None or field in known else f"one of its fields {', '.join(known)}"
