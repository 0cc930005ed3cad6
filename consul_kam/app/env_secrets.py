"""Vault's secrets as the last layer of the environment: read of their files, and kept off the disk."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from consul_kam.adapters import secret_files
from consul_kam.core.env import Env, Secrets, digest, noted
from consul_kam.core.env_known import Known
from consul_kam.core.env_spec import NONE, RESTART, Spec
from consul_kam.settings import EnvSettings


def read(given: EnvSettings) -> Secrets:
    """Of each variable whose value is Vault's; all that is of one secret, of one generation of it."""
    wanted: dict[str, list[Spec]] = {}
    for spec in given.specs:
        if spec.leased:
            wanted.setdefault(spec.origin[0], []).append(spec)
    found: dict[str, bytes | str] = {}
    for name, specs in wanted.items():
        fields = secret_files.read(given.secrets, name, [spec.origin[1] for spec in specs])
        found |= {spec.name: fields[spec.origin[1]] for spec in specs}
    return found


def keyed(known: Known, given: EnvSettings) -> Known:
    """With a key, where it takes one to write down which secret Kamailio was started with."""
    return known if known.key or not given.leased else replace(known, key=secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Noted:
    """Which environment it is, and what of it may be written down."""

    texts: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""


def note(given: EnvSettings, env: Env, known: Known) -> Noted:
    """Of an environment."""
    texts = noted(given.specs, env.texts, known.key)
    return Noted(texts, digest(given.specs, texts))


def for_program(given: EnvSettings, texts: Mapping[str, str]) -> dict[str, str]:
    """The environment that Kamailio is started with: no secret that reaches it otherwise. Each of its processes, and
    whoever is of its user, reads an environment in /proc.
    """
    needless = {spec.name for spec in given.specs if spec.leased and _reaches(spec, given.include)}
    return {name: text for name, text in texts.items() if name not in needless}


def _reaches(spec: Spec, include: Path | None) -> bool:
    return spec.change != RESTART or (include is not None and spec.define != NONE)
