"""What `consul-kam env` does; needs no running engine."""

import contextlib
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from consul_kam.adapters import consul_kv, files, foreground
from consul_kam.adapters.env_store import EnvStore
from consul_kam.app import env_secrets
from consul_kam.app.client import OutOfReach
from consul_kam.app.env import DIRECTORY
from consul_kam.app.surroundings import SECRETS, environment
from consul_kam.app.wiring import consul_of
from consul_kam.config import Settings
from consul_kam.core import env_file, env_known
from consul_kam.core.env import Change, Env, Layer, Value, changes, emptied, noted, policy, reference, resolve, shown
from consul_kam.core.env_known import Known
from consul_kam.core.env_spec import Spec, why_not
from consul_kam.errors import ConfigError, ConsulError, ConsulKamError


@dataclass(frozen=True, slots=True)
class Seen:
    """`env`: as it would be now. `away`: why Consul did not answer, or ""; then it is the last good one."""

    env: Env
    known: Known
    away: str = ""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is not as it should be, and keeps nothing from going on."""
        return tuple(filter(None, (self.away, *self.env.troubles)))


def look(settings: Settings, ours: bool = True) -> Seen:
    """Ask KV now; not `ours`: nothing of what this node knows counts. Raises ConfigError where [env] is off,
    ConsulKamError.
    """
    _on(settings)
    try:
        return made_of(settings, _layers(settings), ours)
    except ConsulError as error:
        return made_of(settings, str(error), ours)


def made_of(
    settings: Settings, layers: Sequence[Layer] | str, ours: bool = True, last: Mapping[str, Value] | None = None
) -> Seen:
    """What these layers come to; a text: why KV cannot be asked. `last`: the last good values where none are kept.

    Raises ConsulKamError.
    """
    known, forgotten = Known(), ""
    try:
        known = _store(settings).load() if ours else known
    except ConsulKamError as error:  # another user's, or damaged: KV may know all there is to know
        forgotten = f"{error}; the last good environment is not known"
    given = settings.env
    if last is not None and not known.values:
        known = replace(known, values=last)
    known = env_secrets.keyed(known, given)
    if not isinstance(layers, str):
        layers = emptied(layers, known.values) or layers
    found, away = (None, layers) if isinstance(layers, str) else (layers, "")
    env = resolve(given.specs, given.allow, found, known.values, env_secrets.read(given))
    return Seen(_with(env, forgotten), known, away)


def _layers(settings: Settings) -> list[Layer]:
    if not settings.env.layers:
        return []
    return consul_kv.layers(consul_of(settings)(), settings.env.layers, settings.consul.datacenter)


def _with(env: Env, trouble: str) -> Env:
    return replace(env, troubles=(trouble, *env.troubles)) if trouble else env


def _store(settings: Settings) -> EnvStore:
    return EnvStore(settings.state_dir / DIRECTORY)


def _on(settings: Settings) -> None:
    if not settings.env.on:
        raise ConfigError("cannot find an environment: [env] layers names no KV prefix")


def told(settings: Settings, seen: Seen, reveal: bool = False) -> dict[str, Any]:
    """For people and JSON. Secrets are hidden unless `reveal`."""
    specs = settings.env.specs

    def value(name: str, found: Value) -> dict[str, str]:
        text = found.text if reveal else shown(specs, name, found.text)
        return {"name": name, "value": text, "source": found.source, "change": policy(specs, name)}

    return {
        "good": not seen.env.missing and not seen.env.troubles,
        "consul": seen.away,
        "known_at": seen.known.at,
        "values": [value(name, found) for name, found in seen.env.values.items()],
        "troubles": list(seen.env.troubles),
        "missing": list(seen.env.missing),
    }


def ready(settings: Settings, program: str) -> Seen:
    """With all that `program` needs; what is not as it should be is told. Raises ConsulKamError where something is
    missing.
    """
    seen = look(settings)
    if seen.env.missing:
        raise ConsulKamError(f"cannot start {program}: the environment: {'; '.join(seen.env.missing)}")
    for trouble in seen.troubles:
        print(f"environment: {trouble}", file=sys.stderr, flush=True)
    return seen


def remember(settings: Settings, seen: Seen) -> None:
    """The last good values, as `run` does."""
    if not seen.away:
        found = env_secrets.note(settings.env, seen.env, seen.known)
        # a read-only image keeps nothing, and says so at the next start without Consul
        with contextlib.suppress(OSError):
            _store(settings).save(env_known.taken(seen.known, seen.env, found.digest, time.time(), found.texts))


def surroundings(seen: Seen) -> dict[str, str]:
    """For a program. Tokens of ours are not handed on."""
    return environment(SECRETS) | seen.env.texts


def execute(settings: Settings, command: Sequence[str]) -> NoReturn:
    """Become `command`, with the environment. Raises ConsulKamError where something is missing, or it is no program."""
    seen = ready(settings, command[0])
    remember(settings, seen)
    os.execve(foreground.found(command[0]), list(command), surroundings(seen))


def differs(settings: Settings) -> tuple[list[Change], str]:
    """What a restart now would change, and why Consul did not answer, or "". Against what Kamailio was started with,
    where that is known, and what was last set live.
    """
    seen = look(settings)
    known, specs = seen.known, settings.env.specs
    live = {spec.name for spec in specs if spec.change != "restart"}
    now = noted(specs, seen.env.texts, known.key)
    last = {name: value.text for name, value in known.values.items()}
    started = known.versions.get(known.started, last)
    before = {name: text for name, text in started.items() if name not in live}
    before |= {name: text for name, text in last.items() if name in live}
    # what was last set of those that are Vault's is written down nowhere: it is set at once
    before |= {spec.name: now[spec.name] for spec in specs if spec.leased and spec.name in live and spec.name in now}
    return changes(before, now), seen.away


@dataclass(frozen=True, slots=True)
class Import:
    """What an env file would change in a layer. `refused`: why it cannot, one line each."""

    kept: consul_kv.Kept
    changes: tuple[Change, ...]
    refused: tuple[str, ...]


def compared(settings: Settings, file: str, layer: str, prune: bool) -> Import:
    """An env file against a layer of KV. `layer`: a prefix of [env] layers, or the end of one; `prune`: what the file
    does not have goes. Raises ConsulKamError.
    """
    _on(settings)
    prefix = chosen(settings, layer)
    texts = env_file.parse(file, _read(file))
    try:
        kept = consul_kv.read(consul_of(settings)(), prefix, settings.consul.datacenter)
    except ConsulError as error:
        raise OutOfReach(str(error)) from None
    there = {name: raw.decode("utf-8", "replace") for name, raw in kept.layer.entries.items()}
    after = texts if prune else {**there, **texts}
    found = [(name, _why_not(settings.env.spec(name), text)) for name, text in texts.items()]
    return Import(kept, tuple(changes(there, after)), tuple(f"{name} {why}" for name, why in found if why))


def _why_not(spec: Spec, text: str) -> str:
    """A secret that Vault has is not to be in KV as well."""
    return f"has the value of {reference(spec)}, whatever KV says" if spec.leased else why_not(spec, text)


def chosen(settings: Settings, layer: str) -> str:
    """The one prefix that is meant. Raises ConfigError."""
    layers = settings.env.layers
    found = [prefix for prefix in layers if prefix == layer.strip("/") or prefix.endswith(f"/{layer.strip('/')}")]
    if len(found) == 1:
        return found[0]
    raise ConfigError(f"cannot choose a layer by {layer!r}: expected one of {', '.join(layers)}, or the end of one")


def write(settings: Settings, wanted: Import) -> None:
    """Raises ConsulError: somebody changed it meanwhile, among others."""
    puts = {change.name: change.after for change in wanted.changes if change.after is not None}
    drops = [change.name for change in wanted.changes if change.after is None]
    consul_kv.write(consul_of(settings)(), wanted.kept, puts, drops, settings.consul.datacenter)


def change_told(settings: Settings, change: Change, reveal: bool = False) -> Mapping[str, Any]:
    """For people and JSON."""
    specs = settings.env.specs

    def value(text: str | None) -> str | None:
        return text if text is None or reveal else shown(specs, change.name, text)

    return {
        "name": change.name,
        "sign": change.sign,
        "before": value(change.before),
        "after": value(change.after),
        "change": policy(specs, change.name),
    }


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return files.read_regular(Path(file), 2**20, follow=True)
    except OSError as error:
        raise ConsulKamError(f"cannot read {file}: {error.strerror or error}") from None
