"""Who else may write where we do. What other local users may change is refused before anything is done there.

The rules are those of sshd's StrictModes, for whole paths: each directory and each symlink on the way belongs to root
or to us, and nobody else may rename what is in there.
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from consul_kam.errors import ConfigError

_EVERYBODY = stat.S_IWOTH
_MOST_LINKS = 40
"""Symlinks on one path; the kernel follows no more [path_resolution(7)]."""


def make_directory(path: Path, mode: int) -> None:
    """Make it where it is missing, with at most this mode; directories above it get at most 0755. Raises OSError."""
    for each in (*reversed(path.parents), path):
        if not each.is_dir():
            with contextlib.suppress(FileExistsError):
                each.mkdir(mode if each == path else 0o755)


def refuse_foreign_state(directory: Path) -> None:
    """Refuse a state directory that is not ours alone to write. Raises ConfigError with the cure, OSError."""
    found = os.stat(directory)
    if stat.S_ISDIR(found.st_mode) and found.st_uid not in trusted():
        raise ConfigError(
            f"cannot use the state directory {directory}: it belongs to user id {found.st_uid}, and this is user id "
            f"{os.geteuid()}; run as that user, chown it, or choose another [node] state_dir"
        )
    refuse_open("the state directory", directory)


def refuse_open(what: str, directory: Path) -> None:
    """Refuse a directory in which everybody may plant files, or that somebody may swap for another.

    Raises ConfigError with the cure, OSError.
    """
    found = os.stat(directory)
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"cannot use {what} {directory}: it is no directory; remove it")
    if found.st_mode & _EVERYBODY:
        raise ConfigError(f"cannot use {what} {directory}: everybody may write in it; chmod o-w {directory}")
    ours = trusted()
    for place, seen, planted in _way(directory):
        if seen.st_uid not in ours and (planted or seen.st_uid != found.st_uid):
            raise ConfigError(
                f"cannot use {what} {directory}: user id {seen.st_uid} owns {place} and may swap it; "
                "chown that, or choose another place"
            )
        if stat.S_ISDIR(seen.st_mode) and seen.st_mode & _EVERYBODY and not seen.st_mode & stat.S_ISVTX:
            raise ConfigError(f"cannot use {what} {directory}: everybody may write in {place}; chmod o-w {place}")


def trusted() -> frozenset[int]:
    """User ids that may do all that we may: root and our own."""
    return frozenset((0, os.geteuid(), *_unmapped()))


def peer(connection: socket.socket) -> tuple[int, int]:
    """User and group id at the other end of a unix socket, as the kernel knows them [unix(7), SO_PEERCRED].

    Of a listener these are those of when it began to listen. Raises OSError.
    """
    _, uid, gid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid), int(gid)


def may_serve(uid: int, directory: Path) -> bool:
    """Whether what user `uid` says on a socket in `directory` is to be believed.

    Root and we ourselves; and the directory's owner where nobody else can have put it there: the engine may run as a
    user of its own and be asked by root. Raises OSError.
    """
    if uid in trusted():
        return True
    owner, above = os.stat(directory).st_uid, os.stat(os.path.dirname(os.path.realpath(directory)))
    return uid == owner and above.st_uid in trusted() and not above.st_mode & _EVERYBODY


def _unmapped() -> tuple[int, ...]:
    """In a user namespace that does not know all users, root of the host shows as the overflow id."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            if sum(int(line.split()[2]) for line in file) >= 2**32 - 1:
                return ()
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            return (int(file.read()),)
    except (OSError, ValueError):
        return ()


def _way(path: Path) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Every directory and symlink that is met on the way to `path`, itself included, and whether anybody might have
    planted it where it lies. Raises OSError."""
    left, at, links = os.path.abspath(path).split("/")[:0:-1], "/", 0
    yield at, os.lstat(at), False
    while left:
        name = left.pop()
        if name in ("", "."):
            continue
        if name == "..":
            at = os.path.dirname(at)
            continue
        place = os.path.join(at, name)
        seen = os.lstat(place)
        yield place, seen, bool(os.stat(at).st_mode & _EVERYBODY)
        if not stat.S_ISLNK(seen.st_mode):
            at = place
        elif (links := links + 1) <= _MOST_LINKS:
            target = os.readlink(place)
            at = "/" if target.startswith("/") else at
            left += target.split("/")[::-1]
