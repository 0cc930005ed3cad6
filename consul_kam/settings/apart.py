"""A configuration file taken apart: bounded TOML whose numbers are finite, secrets' references, tables whose keys are
names, and all the rest as typed keys.
"""

import math
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from consul_kam import settings as keys
from consul_kam.errors import ConfigError
from consul_kam.settings.vault import complete as complete_vault

DEEPEST = 50
"""Tables and arrays within each other: ours need 5."""


class Apart(NamedTuple):
    """`top`: all but the tables whose keys are names."""

    top: keys.File
    datasets: Mapping[str, Any]
    probes: Mapping[str, Any]
    variables: Mapping[str, Any]
    """Of [env]."""
    vault: keys.VaultSettings
    """Complete."""
    references: keys.References
    """Where the file has `secret://`; in the keys there is the path of the secret's file."""
    http_named: bool
    """Whether the file says where to listen."""


def take_apart(text: str, source: str, environ: Mapping[str, str]) -> Apart:
    """`source`: the file's name in messages. Raises ConfigError."""
    raw = _toml(text, source)
    vault = _vault(raw, environ, source)
    wanted = {want.name: want for want in vault.secrets}
    references = keys.put_in(raw, keys.File, str(vault.directory), wanted, source)
    datasets, probes = (_table(raw, key, source) for key in ("datasets", "probes"))
    variables, _ = (_inner(raw, key, name, source) for key, name in (("env", "vars"), ("vault", "secrets")))
    top = keys.convert(raw, keys.File, source)
    return Apart(top, datasets, probes, variables, vault, references, "listen" in raw.get("http", {}))


def _toml(text: str, source: str) -> dict[str, Any]:
    try:
        numbers = list(_numbers(raw := tomllib.loads(text)))
    except RecursionError:
        raise ConfigError(f"cannot use {source}: tables or arrays are more than {DEEPEST} deep") from None
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise ConfigError(f"cannot use {source}: {error}") from None
    for key, value in numbers:
        if not math.isfinite(value):
            raise ConfigError(f"cannot use {source}: {key}: expected a finite number, got {value}")
    return raw


def _numbers(value: object, key: str = "", depth: int = 0) -> Iterator[tuple[str, float]]:
    if depth > DEEPEST:
        raise RecursionError
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _numbers(inner, f"{key}.{name}" if key else name, depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _numbers(inner, f"{key}[{index}]", depth + 1)
    elif isinstance(value, float):
        yield key, value


def _vault(raw: dict[str, Any], environ: Mapping[str, str], source: str) -> keys.VaultSettings:
    """Complete before all else: other tables refer to it."""
    given = raw.get("vault", {})
    table = {"vault": dict(given) if isinstance(given, dict) else given}
    secrets = _inner(table, "vault", "secrets", source)
    vault = keys.convert(table["vault"], keys.Vault, source, "vault")
    return complete_vault(vault, secrets, "vault" in raw, environ, source)


def _table(raw: dict[str, Any], key: str, source: str, prefix: str = "") -> dict[str, Any]:
    """Taken out: what is in it has a name of its own each."""
    value = raw.pop(key, {})
    if not isinstance(value, dict):
        raise ConfigError(f"cannot use {source}: {prefix}{key}: expected a table, got {value!r}")
    return value


def _inner(raw: dict[str, Any], key: str, name: str, source: str) -> dict[str, Any]:
    """`_table` of a table within another, which may be missing, or wrong."""
    return _table(raw[key], name, source, f"{key}.") if isinstance(raw.get(key), dict) else {}
