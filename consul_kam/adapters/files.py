"""Files that Kamailio, consul-template and we share: read with suspicion, written atomically."""

import errno
import os
import stat
import time
from pathlib import Path

LARGEST = 64 * 2**20
"""Bytes; a staging or live file above this is refused unread."""


class Unusable(OSError):
    """What is there is no file that we read: of another kind, too large, or one that everybody may write."""


def read_regular(path: Path, largest: int = LARGEST, follow: bool = False, closed: bool = False) -> bytes:
    """The content of a regular file.

    Raises FileNotFoundError, and Unusable for anything that is no regular file (a symlink, unless `follow`; a FIFO,
    socket, device, directory), that is larger than `largest` bytes or, where it has to be `closed`, that everybody may
    write. Never blocks, and never reads more than `largest` bytes.
    """
    _usable(path, os.stat(path, follow_symlinks=follow), largest, closed)  # opening a device may already do something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    try:
        found = os.fstat(descriptor)
        _usable(path, found, largest, closed)
        data = _rest(descriptor, found.st_size, largest)
    finally:
        os.close(descriptor)
    if len(data) > largest:
        raise Unusable(errno.EFBIG, f"it grew beyond {largest} bytes", str(path))
    return data


def _rest(descriptor: int, expected: int, largest: int) -> bytes:
    """To the end, or one byte beyond `largest`. Without a file object, which costs more than a short list's bytes."""
    data = os.read(descriptor, min(expected, largest) + 1)
    while len(data) <= largest and (more := os.read(descriptor, min(1 << 16, largest + 1 - len(data)))):
        data += more
    return data


def _usable(path: Path, found: os.stat_result, largest: int, closed: bool) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise Unusable(errno.ELOOP, "it is a symlink", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise Unusable(errno.EINVAL, "it is no regular file", str(path))
    if closed and found.st_mode & stat.S_IWOTH:
        raise Unusable(errno.EPERM, f"everybody may write it; chmod o-w {path}", str(path))
    if found.st_size > largest:
        raise Unusable(errno.EFBIG, f"it has {found.st_size} bytes, allowed are {largest}", str(path))


def read_if_there(path: Path) -> bytes | None:
    """`read_regular`, or None where there is no such file."""
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None


def write_atomic(
    path: Path, data: bytes, mode: int = 0o644, later: bool = False, sync: bool = False, private: bool = False
) -> None:
    """Replace `path` by `data` in one rename. Owner and mode of an existing file stay, less what everybody may write,
    and, of a `private` one, read.

    `mode` of a new one, whatever the umask: Kamailio mostly runs as another user, and has to read what we make.

    `later`: give it a modification time that is, in whole seconds, later than that of the file it replaces, because
    db_text reads a table again only then (kamailio-facts.md, 3). `sync`: fsync before the rename. Raises OSError; then
    `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.consul-kam")
    descriptor = _new(temporary)
    try:
        try:
            before = _stat(path)
            write_all(descriptor, data)
            now = os.fstat(descriptor)
            if before is None or not stat.S_ISREG(before.st_mode):  # a symlink's mode is 0777
                os.fchmod(descriptor, mode)
            else:
                _like(descriptor, now, before, 0o770 if private else 0o775)
            if later and before is not None and int(now.st_mtime) <= int(before.st_mtime):
                second = int(before.st_mtime) + 1
                os.utime(descriptor, (second, second))
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _new(path: Path) -> int:
    """A file that nobody else reads on while it is written; what an interrupted write left there goes."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileExistsError:
        path.unlink()
        return os.open(path, flags, 0o600)


def write_all(descriptor: int, data: bytes) -> None:
    """Raises OSError."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _like(descriptor: int, now: os.stat_result, before: os.stat_result, most: int) -> None:
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) & most)


def _rename(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise OSError(
                errno.EBUSY, "it is a mount point: mount its directory instead of the file", str(path)
            ) from None
        raise OSError(error.errno, error.strerror, str(path)) from None


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except FileNotFoundError:
        return None


def is_private(path: Path) -> bool:
    """Whether the mode gives everybody nothing, or there is no file. Raises OSError."""
    found = _stat(path)
    return found is None or not found.st_mode & stat.S_IRWXO


def sync(path: Path) -> None:
    """fsync a file and its directory. Raises OSError."""
    for place, kind in ((path, os.O_NOFOLLOW | os.O_NONBLOCK), (path.parent, os.O_DIRECTORY)):
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | kind)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def signature(path: Path) -> tuple[int, int, int]:
    """(inode, size in bytes, modification time in ns), which changes with every write; zeros where no file is seen."""
    try:
        found = _stat(path)
    except OSError:
        found = None
    return (found.st_ino, found.st_size, found.st_mtime_ns) if found is not None else (0, 0, 0)


def last_written(path: Path) -> float | None:
    """When the file was written, wall clock in s, never in the future; None where there is no file."""
    found = _stat(path)
    return min(found.st_ctime, time.time()) if found is not None else None
