"""One engine per Kamailio, whatever its user and state directory. All locks end with the process, however it ends.

The state directory has a lock of its own, beside the control socket.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import stat
import time
from collections.abc import Iterable
from pathlib import Path

from consul_kam.adapters import trust
from consul_kam.errors import ConfigError

SPARE = 8
"""Names that an address has, so that others who take one of them keep nobody out."""
SETTLE = 0.3
"""Seconds in which an engine that found another one gives its name up."""
_PEER_GROUPS = 59
"""SO_PEERGROUPS of asm-generic/socket.h, Linux 4.13; Python has no name for it."""
_NO_ROOM = (errno.EROFS, errno.ENOSPC, errno.EDQUOT)


class KamailioLock:
    """Two locks, because neither can tell of all engines.

    A flock beside each live file, in a file that only those may open who may write the list: it holds over containers
    and network namespaces. And a name for the RPC address, for engines that keep different lists of one Kamailio: an
    abstract unix socket (unix(7)), which anybody may take; so it counts only where the kernel says that its holder
    might drive this Kamailio.
    """

    def __init__(self, rpc: str, live: Iterable[Path] = ()) -> None:
        """`live`: the files that this engine writes. Raises ConfigError where another engine holds one of the locks."""
        self._files: list[int] = []
        self._name: socket.socket | None = None
        try:
            places = sorted({Path(os.path.realpath(path.parent)) / path.name for path in live})
            for path in places:
                self._lock_file(path)
            self._take_name(rpc, {os.stat(path.parent).st_uid for path in places})
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give them up."""
        if self._name is not None:
            self._name.close()
        for descriptor in self._files:
            os.close(descriptor)
        self._files, self._name = [], None

    def _lock_file(self, live: Path) -> None:
        path = live.with_name(f".{live.name}.consul-kam.lock")
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in _NO_ROOM:  # nothing can be written now either; the name is left
                return
            raise ConfigError(f"cannot start: cannot open {path}: {error.strerror}; remove it") from None
        self._files.append(descriptor)
        _share(descriptor, os.stat(live.parent))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"cannot start: another engine{_holder(descriptor)} already writes {live}") from None
        with contextlib.suppress(OSError):  # a full disk: then nobody is named
            os.pwrite(descriptor, b"%-10d" % os.getpid(), 0)

    def _take_name(self, rpc: str, owners: set[int]) -> None:
        names = [abstract_name(rpc) + (f"/{index}" if index else "") for index in range(SPARE)]
        free = next((index for index, name in enumerate(names) if self._bound(name)), SPARE)
        for index, name in enumerate(names):
            # One that came later, and took a later name, sees us and goes.
            until = time.monotonic() + (SETTLE if index > free else 0.0)
            while index != free and _is_rival(name, rpc, owners):
                if time.monotonic() >= until:
                    raise ConfigError(f"cannot start: another engine already writes to the Kamailio at {rpc}")
                time.sleep(0.01)

    def _bound(self, name: str) -> bool:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            found.bind(name)
            found.listen(64)
        except OSError:
            found.close()
            return False
        self._name = found
        return True


def _holder(descriptor: int) -> str:
    """Who holds it, as it wrote down."""
    said = os.pread(descriptor, 10, 0).strip()
    return f" (process {int(said)})" if said.isdigit() else ""


def _share(descriptor: int, directory: os.stat_result) -> None:
    """Whoever may write the directory may lock, and nobody else may even open."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        return
    group = bool(directory.st_mode & stat.S_IWGRP)
    with contextlib.suppress(PermissionError):
        os.fchown(descriptor, directory.st_uid if os.geteuid() == 0 else -1, directory.st_gid if group else -1)
        os.fchmod(descriptor, 0o660 if group else 0o600)


def _is_rival(name: str, rpc: str, owners: set[int]) -> bool:
    """Whether who holds the name is root, our user, an owner of the lists, or one who may use the ctl socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(name)
            uid, gid = trust.peer(asking)
            groups = {gid, *_groups(asking)}
        except OSError:  # nobody has it, or one who hides: not an engine
            return False
    kind, _, place = rpc.partition(":")
    return uid in trust.trusted() | owners or (kind in ("unix", "fifo") and _may_use(place, uid, groups))


def _groups(connection: socket.socket) -> set[int]:
    with contextlib.suppress(OSError):
        packed = connection.getsockopt(socket.SOL_SOCKET, _PEER_GROUPS, 1024)
        return {int(gid) for gid in memoryview(packed).cast("I")}
    return set()


def _may_use(ctl: str, uid: int, groups: set[int]) -> bool:
    try:
        found = os.stat(ctl)
    except OSError:
        return False
    return uid == found.st_uid or (bool(found.st_mode & stat.S_IWGRP) and found.st_gid in groups)


def abstract_name(rpc: str) -> str:
    """The name of a Kamailio's lock: equal for every spelling of the same unix socket path."""
    kind, _, place = rpc.partition(":")
    address = f"{kind}:{os.path.realpath(place)}" if kind in ("unix", "fifo") else rpc
    return "\0consul_kam/" + hashlib.sha256(address.encode()).hexdigest()[:32]
