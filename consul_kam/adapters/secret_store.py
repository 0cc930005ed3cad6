"""Secrets as files, in memory only: DIR/NAME is a symlink to DIR/.NAME.GENERATION, swapped by one rename, so that the
fields of a secret change together. What is known of a generation lies beside it, in DIR/.NAME.GENERATION.json.
"""

import contextlib
import json
import os
import re
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consul_kam.adapters import files, trust
from consul_kam.adapters.memory import in_memory
from consul_kam.errors import ConfigError

LOGIN = ".login.json"
LARGEST = 2**20
"""Bytes of a file of ours here."""
_GENERATION = re.compile(r"\.([a-z][a-z0-9_]{0,31})\.([0-9]{1,18})")


class SecretStore:
    """`directory`: made where it is missing. Used by one thread; whoever reads files needs nothing of this."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def prepare(self) -> None:
        """Raises ConfigError where secrets must not lie there: not in memory, or others may look in or swap it."""
        where = f"cannot use vault.directory {self.directory}"
        try:
            trust.make_directory(self.directory, 0o700)
            found = os.stat(self.directory, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                raise ConfigError(f"{where}: it is no directory; remove it")
            if found.st_uid != os.geteuid():
                raise ConfigError(f"{where}: it belongs to user id {found.st_uid}, and this is user id {os.geteuid()}")
            if stat.S_IMODE(found.st_mode) & 0o077:
                raise ConfigError(f"{where}: others may look in; chmod 700 {self.directory}")
            trust.refuse_open("vault.directory", self.directory)
            if not in_memory(self.directory):
                raise ConfigError(f"{where}: it is on a disk: secrets lie on tmpfs only, as below /run")
        except OSError as error:
            raise ConfigError(f"{where}: {error.strerror or error}") from None

    def current(self, name: str) -> int:
        """The generation that NAME leads to; 0: none."""
        try:
            found = _GENERATION.fullmatch(os.readlink(self.directory / name))
        except OSError:
            return 0
        if found is None or found[1] != name or not (self.directory / found[0]).is_dir():
            return 0
        return int(found[2])

    def generations(self) -> dict[str, list[int]]:
        """All that lie there, oldest first, by name. Raises OSError."""
        found: dict[str, list[int]] = {}
        for entry in os.scandir(self.directory):
            named = _GENERATION.fullmatch(entry.name)
            if named and entry.is_dir(follow_symlinks=False):
                found.setdefault(named[1], []).append(int(named[2]))
        return {name: sorted(numbers) for name, numbers in found.items()}

    def about(self, name: str, generation: int) -> Mapping[str, Any] | None:
        """What `publish` was told of it; None where that is lost."""
        return self._json(f".{name}.{generation}.json")

    def publish(self, name: str, generation: int, fields: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        """`generation`: one that there never was. Raises OSError; then NAME leads where it led."""
        place = self._place(name, generation)
        place.mkdir(0o700)
        try:
            for field, content in fields.items():
                files.write_atomic(place / field, content, 0o600)
            self.note(name, generation, about)
            self._lead(name, place.name)
        except BaseException:
            self.drop(name, generation)
            raise

    def note(self, name: str, generation: int, about: Mapping[str, Any]) -> None:
        """What is known of it now. Raises OSError."""
        path = self.directory / f".{name}.{generation}.json"
        files.write_atomic(path, json.dumps(about).encode(), 0o600)

    def withdraw(self, name: str) -> None:
        """NAME leads nowhere. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            (self.directory / name).unlink()

    def drop(self, name: str, generation: int) -> None:
        """A generation goes, with what is known of it; never raises: what stays is tried again at the next start."""
        shutil.rmtree(self._place(name, generation), ignore_errors=True)
        with contextlib.suppress(OSError):
            (self.directory / f".{name}.{generation}.json").unlink()

    def login(self) -> Mapping[str, Any] | None:
        """The one that was kept, or None."""
        return self._json(LOGIN)

    def keep_login(self, told: Mapping[str, Any]) -> None:
        """So that a restart needs no other. Raises OSError."""
        files.write_atomic(self.directory / LOGIN, json.dumps(told).encode(), 0o600)

    def _place(self, name: str, generation: int) -> Path:
        return self.directory / f".{name}.{generation}"

    def _lead(self, name: str, to: str) -> None:
        link = self.directory / f".{name}.new"
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(to)
        link.replace(self.directory / name)

    def _json(self, file: str) -> Mapping[str, Any] | None:
        try:
            found = json.loads(files.read_regular(self.directory / file, LARGEST, closed=True))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None
