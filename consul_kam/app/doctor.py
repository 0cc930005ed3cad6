"""`consul-kam doctor`: looks for every trap in what was gathered; mends what is ours alone."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consul_kam.adapters import files
from consul_kam.config import Settings
from consul_kam.core.trap import ERROR, NOTE, WARNING, Facts, Finding
from consul_kam.datasets import dataset
from consul_kam.traps import traps

GRAVE = (ERROR, WARNING)
"""Severities for which the exit code is 1."""
_ORDER = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Found:
    """`fixed`: what --fix did about it, "" where it did nothing."""

    trap: str
    severity: str
    sentence: str
    cure: str
    source: str
    fixed: str = ""


def look(facts: Facts) -> list[tuple[Found, Finding]]:
    """Everything that is found, the gravest first."""
    found = [
        (Found(trap.name, trap.severity, finding.sentence, finding.cure, trap.source), finding)
        for trap in traps().values()
        for finding in trap.find(facts)
    ]
    return sorted(found, key=lambda pair: _ORDER.index(pair[0].severity))


def examine(settings: Settings, facts: Facts, fix: bool) -> list[Found]:
    """As `look`; with `fix` what is ours is mended. What could not be is told with its reason."""
    told = []
    for found, finding in look(facts):
        fixed = _fix(settings, finding.fix) if fix and finding.fix else ""
        told.append(Found(found.trap, found.severity, found.sentence, found.cure, found.source, fixed))
    return told


def good(found: Sequence[Found]) -> bool:
    """Whether nothing grave is left."""
    return not any(each.severity in GRAVE and not each.fixed.startswith("done") for each in found)


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
