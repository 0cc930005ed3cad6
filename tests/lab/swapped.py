"""What somebody may put in a file's place: `swap(path, "FIFO")`, and `back(path, content)`."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.lab import stranger

HUGE = 10 * 2**30


def _socket(path: Path) -> None:
    # bound elsewhere and moved: a socket's path may hold only 107 bytes
    with tempfile.TemporaryDirectory(prefix="ck-") as short, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{short}/s")
        shutil.move(f"{short}/s", path) if _same_disk(Path(short), path.parent) else os.mknod(path, 0o140600)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(HUGE)


KINDS: Mapping[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "symlink": lambda path: path.symlink_to("/etc/passwd"),
    "directory": lambda path: path.mkdir(),
    "device": lambda path: stranger.by_root("mknod", path, "c", "1", "5"),  # /dev/zero, which never ends
    "socket": _socket,
    "10 GB": _huge,
}


def swap(path: Path, kind: str) -> None:
    """Put something else in the file's place, in one rename where that can be."""
    new = path.with_name(f"{path.name}.swapped")
    KINDS[kind](new)
    if new.is_dir():
        path.unlink(missing_ok=True)
    new.rename(path)


def back(path: Path, content: bytes) -> None:
    """A file again, as consul-template writes one."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    new = path.with_name(f"{path.name}.back")
    new.write_bytes(content)
    new.rename(path)


def peak(pid: int) -> int:
    """The most memory that a process ever had, bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
