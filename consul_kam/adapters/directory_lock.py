"""One engine per directory, whatever its state directory: a lock that ends with the process, however it ends."""

import fcntl
import os
from pathlib import Path

from consul_kam.errors import ConfigError


class DirectoryLock:
    """A flock(2) on the directory itself: nothing has to be written, so it holds on a full disk too.

    Only who may read the directory can take it; in the same process too it is held once.
    """

    def __init__(self, directory: Path, key: str) -> None:
        """`key`: of the configuration. Raises ConfigError where another one holds it, or it is no directory."""
        where = f"cannot use {key} {directory}"
        try:
            self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{where}: {error.strerror or error}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            other = "another engine already keeps it; choose another directory for one of them"
            raise ConfigError(f"{where}: {other if isinstance(error, BlockingIOError) else error.strerror}") from None

    def release(self) -> None:
        """Give it up, once."""
        os.close(self._descriptor)
