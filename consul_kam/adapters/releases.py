"""What outlives the engine: published releases, the guards' memory, an operator's words. One directory a dataset.

STATE/releases/dispatcher/000042-1f0c9a2b3c4d.list    the canonical live file, in Kamailio's own format
STATE/releases/dispatcher/000042-1f0c9a2b3c4d.json    what that format cannot say
STATE/releases/dispatcher/memory.json                 guards' memory and pin
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consul_kam.adapters import files, trust

KEPT = 20
"""Releases that are kept for `rollback` and `history`."""
_NAME = re.compile(r"[0-9]{6,20}-[0-9a-f]{1,64}")
_DAMAGED = (FileNotFoundError, files.Unusable, ValueError, RecursionError)


@dataclass(frozen=True, slots=True)
class Stored:
    """One published release on disk. `name` is what `rollback` takes."""

    name: str
    content: bytes
    about: dict[str, Any]


class Releases:
    """The releases of one dataset. Every write is atomic; every method may raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        trust.make_directory(directory, 0o700)

    def publish(self, digest: str, content: bytes, about: dict[str, Any]) -> str:
        """Store a release, on disk when this returns; returns its name.

        The list of the newest one, published anew (at each start of an engine, after drift), keeps that one's name:
        else the lists to go back to would soon all be the same.
        """
        trust.make_directory(self._directory, 0o700)
        names = self.names()
        number = int(names[-1].split("-")[0]) + 1 if names else 1
        name = f"{number:06d}-{digest[:12]}"
        if names and names[-1].endswith(f"-{digest[:12]}"):
            name = names.pop()
        files.write_atomic(self._path(name, "list"), content, 0o600, sync=True)
        # The .json is written last: a release counts only where both are there.
        files.write_atomic(self._path(name, "json"), json.dumps(about).encode(), 0o600, sync=True)
        files.sync(self._path(name, "json"))
        for old in names[: max(0, len(names) + 1 - KEPT)]:
            self._path(old, "json").unlink(missing_ok=True)
            self._path(old, "list").unlink(missing_ok=True)
        return name

    def names(self) -> list[str]:
        """Oldest first."""
        return sorted(path.stem for path in self._directory.glob("*.json") if _NAME.fullmatch(path.stem))

    def before(self, name: str) -> str | None:
        """The release that came before this one, or, where `name` is none, before the newest."""
        names = self.names()
        place = names.index(name) if name in names else len(names) - 1
        return names[place - 1] if place > 0 else None

    def load(self, name: str) -> Stored | None:
        """None where there is no such release, or it is not whole."""
        if not _NAME.fullmatch(name):  # memory.json may hold anything
            return None
        try:
            about = json.loads(files.read_regular(self._path(name, "json")))
            content = files.read_regular(self._path(name, "list"))
        except _DAMAGED:
            return None
        return Stored(name, content, about) if isinstance(about, dict) else None

    def newest(self) -> Stored | None:
        """The last known good."""
        for name in reversed(self.names()):
            stored = self.load(name)
            if stored is not None:
                return stored
        return None

    def remember(self, memory: dict[str, Any]) -> None:
        """Guards' memory and pin. Not synced: a power cut may cost seconds of it, never a release."""
        files.write_atomic(self._directory / "memory.json", json.dumps(memory).encode(), 0o600)

    def memory(self) -> dict[str, Any]:
        """What was last remembered; {} where that is nothing, or damaged."""
        try:
            found = json.loads(files.read_regular(self._directory / "memory.json"))
        except _DAMAGED:
            return {}
        return found if isinstance(found, dict) else {}

    def _path(self, name: str, ending: str) -> Path:
        return self._directory / f"{Path(name).name}.{ending}"
