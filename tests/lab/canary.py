"""A search for secrets where none may be: files, what programs say, and command line and environment of each."""

import base64
import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.lab.process import Watching

SHORTEST = 12
"""Bytes: what is shorter stands somewhere by chance."""


def contents(*directories: Path) -> Iterator[tuple[Path, bytes]]:
    """Regular files below them, while they come and go: one that is gone meanwhile, or may not be read, is left out."""
    for directory in directories:
        for place, _, files in os.walk(directory):
            for path in sorted(Path(place, name) for name in files):
                with contextlib.suppress(OSError):
                    if path.is_file():
                        yield path, path.read_bytes()


def lying(place: Path, fields: Collection[str], called: Callable[[Path], str]) -> dict[str, bytes]:
    """Secrets below `place`, which [vault]'s directory is as well: files of those names, `called` so, and the login."""
    found: dict[str, bytes] = {}
    for path, content in contents(place):
        if path.name in fields:
            found[called(path)] = content
        elif path.name == ".login.json":
            found["Vault token"] = content.partition(b'"token": "')[2].partition(b'"')[0]
    return found


class Canary(Watching):
    """`with Canary(parts) as canary:` watches /proc all the while; `parts` gives the secrets that there are, as they
    come and go: name -> what it is.

    A secret is looked for as it is, percent-encoded and in base64, in whole lines where it has several.
    """

    def __init__(self, parts: Callable[[], dict[str, bytes]]) -> None:
        super().__init__()
        self._parts = parts
        self._known: dict[bytes, str] = {}
        self.seen: set[str] = set()
        """Who had a secret in his command line or environment."""
        self.processes: set[str] = set()
        """Whom the search has looked at."""

    def start(self) -> Self:
        self._learn()
        return super().start()

    @property
    def names(self) -> set[str]:
        """Of the secrets that are looked for."""
        return set(self._known.values())

    def said(self, where: str, text: str | bytes) -> list[str]:
        """What of them stands there."""
        self._learn()
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        return sorted({f"{name} in {where}" for needle, name in list(self._known.items()) if needle in data})

    def files(self, *directories: Path, but: Iterable[Path] = ()) -> list[str]:
        """In every file below them, cores as well; `but`: where they may be."""
        found: list[str] = []
        allowed = [path.resolve() for path in but]
        for directory in directories:
            for path, content in contents(directory):
                if not any(path.resolve().is_relative_to(each) for each in allowed):
                    found += self.said(str(path), content)
        return found

    def _learn(self) -> None:
        for name, content in self._parts().items():
            for line in content.splitlines():
                if len(line) >= SHORTEST and not line.startswith(b"-----"):
                    forms = (line, quote(line, safe="").encode(), base64.b64encode(line).rstrip(b"="))
                    self._known.update(dict.fromkeys(forms, name))

    def _watch(self) -> None:
        """Each process on this machine, as often as that goes: some live for a moment only."""
        while not self._ending.is_set():
            self._learn()
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    name = (process / "comm").read_text().strip()
                    for file in ("cmdline", "environ"):
                        self.seen.update(self.said(f"{file} of {name}", (process / file).read_bytes()))
                    self.processes.add(name)
            self._ending.wait(0.01)
