"""Files that hold a secret of one line: nobody else may read them, and no message shows what stands there."""

import os
import stat

from consul_kam.errors import ConfigError

LONGEST = 1_024
"""Bytes."""


def secret(path: str, key: str) -> bytes:
    """What stands in the file, without its newline. `key`: of the configuration. Raises ConfigError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            about = os.fstat(descriptor)
            found = file.read(LONGEST + 1) or b""
    except OSError as error:
        raise ConfigError(f"cannot read {key} {path}: {error.strerror}") from error
    mode = about.st_mode
    # systemd's LoadCredential= hands out files of group root, readable by it.
    if not stat.S_ISREG(mode) or mode & 0o037 or (mode & 0o040 and about.st_gid != 0):
        raise ConfigError(f"cannot use {key} {path}: expected a file that nobody else may read: chmod 600")
    if about.st_uid not in (0, os.geteuid()):
        raise ConfigError(f"cannot use {key} {path}: it belongs to user id {about.st_uid}")
    if len(found) > LONGEST:
        raise ConfigError(f"cannot use {key} {path}: it is over {LONGEST} bytes")
    return found.removesuffix(b"\n")
