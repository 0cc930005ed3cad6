"""Disks that fill up or turn read-only: a small tmpfs laid over a directory. Needs root, or sudo without a password."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab.process import program


class Disk:
    """`with disk(directory) as small:`"""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ballast = directory / "ballast"

    def fill(self) -> None:
        """No byte is left; an empty file can still be made."""
        with self._ballast.open("wb", buffering=0) as file:
            for size in (4096, 1):
                while _written(file.fileno(), size):
                    pass

    def free(self) -> None:
        self._ballast.unlink()

    def read_only(self, on: bool) -> None:
        _root("mount", "-o", f"remount,{'ro' if on else 'rw'}", str(self.directory))


@contextmanager
def disk(directory: Path, size: str = "256k") -> Iterator[Disk]:
    """A file system of its own over `directory`, with what was in there."""
    kept = directory.with_name(f"{directory.name}.kept")
    shutil.copytree(directory, kept)
    _root("mount", "-t", "tmpfs", "-o", f"size={size},uid={os.getuid()},gid={os.getgid()}", "ck", str(directory))
    try:
        shutil.copytree(kept, directory, dirs_exist_ok=True)
        yield Disk(directory)
    finally:
        _root("umount", "--lazy", str(directory))
        shutil.rmtree(kept)


def _written(descriptor: int, size: int) -> bool:
    try:
        return os.write(descriptor, b"x" * size) > 0
    except OSError:
        return False


def _root(*argv: str) -> None:
    command = [program(argv[0]), *argv[1:]]
    subprocess.run(command if os.geteuid() == 0 else [program("sudo"), "-n", *command], check=True, timeout=30)
