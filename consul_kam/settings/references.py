"""`secret://NAME/FIELD` in a file of ours: which keys take one, and what becomes of it."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from consul_kam.core import secret_reference
from consul_kam.core.secret_reference import SCHEME, Reference
from consul_kam.errors import ConfigError
from consul_kam.settings.schema import FILE, Keys, schema_at

Step = str | int
_NOT_HERE = "expected no secret: only env.vars.NAME.value takes one, and files that are read anew as they change"
_NOWHERE = ("datasets", "probes", "vault")
"""Tables without a key that takes one: what Vault is reached by is not Vault's, and no list is a secret."""


@dataclass(frozen=True)
class References:
    """The keys that a secret stands in: dotted key -> the reference, as it was written."""

    keys: Mapping[str, str] = field(default_factory=dict)


class Secret(Protocol):
    """`[vault.secrets.NAME]`."""

    @property
    def kind(self) -> str: ...

    @property
    def text(self) -> str: ...


Secrets = Mapping[str, Secret]


def put_in(raw: dict[str, Any], kind: type[Keys], directory: str, secrets: Secrets, source: str) -> References:
    """Each reference in a key that names a file becomes its path, in `raw`; `env.vars.NAME.value` keeps it.

    `kind`: what `raw` shall be; `directory` and `secrets`: of `[vault]`. Raises ConfigError for an unknown name or
    field, and for a reference anywhere else.
    """
    found = dict(_found(raw, ()))
    for steps, text in found.items():
        if _unknown(kind, steps):
            continue  # whoever reads the table says so, and what it was meant to be
        where = f"cannot use {source}: {_dotted(steps)}"
        if not _takes(kind, steps):
            raise ConfigError(f"{where}: {_NOT_HERE}; got {text!r}")
        reference = _checked(text, secrets, where)
        if not _variable(steps):
            _put(raw, steps, f"{directory.rstrip('/')}/{reference.name}/{reference.field}")
    return References({_dotted(steps): text for steps, text in found.items()})


def shown(plain: dict[str, Any], references: References) -> dict[str, Any]:
    """Settings as plain values, with each reference as it was written."""
    plain.pop("references")
    for key, text in references.keys.items():
        table, _, last = key.rpartition(".")
        inner: Any = plain
        for name in table.split("."):
            inner = inner.get(name) if isinstance(inner, dict) else None
        if isinstance(inner, dict) and last in inner:
            inner[last] = text
    for spec in plain["env"]["specs"]:
        spec["origin"] = f"{SCHEME}{'/'.join(spec['origin'])}" if any(spec["origin"]) else ""
    return plain


def _found(value: object, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _found(inner, (*steps, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _found(inner, (*steps, index))
    elif isinstance(value, str) and SCHEME in value:
        yield steps, value


def _checked(text: str, secrets: Secrets, where: str) -> Reference:
    reference = secret_reference.read(text)
    if reference is None:
        raise ConfigError(f"{where}: expected secret://NAME/FIELD, got {text!r}")
    secret = secrets.get(reference.name)
    if secret is None:
        near = difflib.get_close_matches(reference.name, secrets, 1)
        known = f"one of {', '.join(secrets)}" if secrets else "a [vault.secrets] table for it"
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(f"{where}: expected {known}, got secret {reference.name!r}{hint}")
    wrong = secret_reference.why_no_field(secret.kind, bool(secret.text), reference.field)
    if wrong:
        raise ConfigError(f"{where}: {reference.name} is of kind {secret.kind}: expected {wrong}, got {text!r}")
    return reference


def _variable(steps: tuple[Step, ...]) -> bool:
    return len(steps) == 4 and (*steps[:2], steps[3]) == ("env", "vars", "value")


def _takes(kind: type[Keys], steps: tuple[Step, ...]) -> bool:
    return _variable(steps) or (steps[0] not in _NOWHERE and _schema(kind, steps).get("pattern") == FILE)


def _unknown(kind: type[Keys], steps: tuple[Step, ...]) -> bool:
    """Whether it is a key of a table that has other ones."""
    if steps[0] in _NOWHERE or steps[:2] == ("env", "vars"):
        return False
    for length in range(len(steps)):
        properties = _schema(kind, steps[:length]).get("properties")
        if properties is not None and steps[length] not in properties:
            return True
    return False


def _schema(kind: type[Keys], steps: tuple[Step, ...]) -> Mapping[str, Any]:
    """Nothing where it is a name of the operator's own, or below one."""
    try:
        return schema_at(kind, steps)
    except (KeyError, TypeError):
        return {}


def _put(raw: Any, steps: tuple[Step, ...], path: str) -> None:
    for step in steps[:-1]:
        raw = raw[step]
    raw[steps[-1]] = path


def _dotted(steps: tuple[Step, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")
