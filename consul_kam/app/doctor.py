"""`consul-kam doctor`: looks for every trap in what was gathered; mends what is ours alone."""

import difflib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from consul_kam.adapters import files
from consul_kam.config import Settings
from consul_kam.core.trap import ERROR, NOTE, WARNING, Facts, Finding
from consul_kam.datasets import dataset
from consul_kam.errors import ConfigError
from consul_kam.traps import traps

GRAVE = (ERROR, WARNING)
"""Severities for which the exit code is 1."""
_ORDER = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Found:
    """`fixed`: what --fix did about it, "" where it did nothing. `ignored`: why it may stay, by `[doctor] ignore`."""

    trap: str
    severity: str
    sentence: str
    cure: str
    source: str
    fixed: str = ""
    ignored: str = ""


def look(facts: Facts) -> list[tuple[Found, Finding]]:
    """Everything that is found, the gravest first."""
    found = [
        (Found(trap.name, trap.severity, finding.sentence, finding.cure, trap.source), finding)
        for trap in traps().values()
        for finding in trap.find(facts)
    ]
    return sorted(found, key=lambda pair: _ORDER.index(pair[0].severity))


def examine(settings: Settings, facts: Facts, fix: bool) -> list[Found]:
    """As `look`, what is ignored last; with `fix` what is ours is mended, unless it is ignored. What could not be is
    told with its reason. Raises ConfigError where a trap is ignored that there is none of, or without a reason.
    """
    why = _ignored(settings)
    told = []
    for found, finding in look(facts):
        ignored = why.get(found.trap, "")
        fixed = _fix(settings, finding.fix) if fix and finding.fix and not ignored else ""
        told.append(replace(found, fixed=fixed, ignored=ignored))
    return sorted(told, key=lambda each: bool(each.ignored))


def _ignored(settings: Settings) -> Mapping[str, str]:
    """Trap -> reason. Looked at here, not at the start of `run`: one that a new version has no more stops no node."""
    for name, reason in settings.doctor.ignore.items():
        where = f"cannot use {settings.source}: doctor.ignore.{name}"
        if name not in traps():
            near = difflib.get_close_matches(name, traps(), 1)
            hint = f"did you mean {near[0]}?" if near else "docs/doctor.md has all"
            raise ConfigError(f"{where}: expected a trap, got none of that name ({hint})")
        if not reason.strip():
            raise ConfigError(f"{where}: expected why it may stay, got no reason")
    return settings.doctor.ignore


def good(found: Sequence[Found]) -> bool:
    """Whether nothing grave is left that is not ignored."""
    return not any(each.severity in GRAVE and not each.ignored and not each.fixed.startswith("done") for each in found)


def _fix(settings: Settings, what: tuple[str, ...]) -> str:
    kind, place = what
    try:
        if kind == "chmod":
            os.chmod(place, os.stat(place).st_mode & 0o7755)
            return f"done: chmod go-w {place}"
        if kind == "remove":
            return _remove(settings, Path(place))
        return _companions(settings, place)
    except OSError as error:
        return f"not done: {error.filename or place}: {error.strerror or error}"


def _remove(settings: Settings, path: Path) -> str:
    """Only a scratch directory of our own state directory; a symlink is not followed."""
    if path.parent != settings.state_dir or not path.name.startswith("scratch-") or path.is_symlink():
        return f"not done: {path} is none of ours"
    shutil.rmtree(path)
    return f"done: removed {path}"


def _companions(settings: Settings, name: str) -> str:
    """The rows of `version` and the tables beside ours that are missing."""
    chosen, made = settings.dataset(name), list[str]()
    assert chosen.file is not None
    notation, folder = dataset(name).notation, chosen.file.parent
    version = notation.companion(files.read_if_there(folder / "version"))
    wanted = {name: data for name, data in notation.needs().items() if files.read_if_there(folder / name) is None}
    wanted |= dict([version]) if version is not None else {}
    for other, data in wanted.items():
        if files.read_if_there(folder / other) != data:
            files.write_atomic(folder / other, data)
            made.append(str(folder / other))
    return f"done: wrote {', '.join(made)}" if made else "done before"
