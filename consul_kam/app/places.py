"""Where the engine writes: made, or refused, before anything else happens. The table is in docs/operations.md."""

import os
import stat
from pathlib import Path

from consul_kam.adapters import trust
from consul_kam.adapters.memory import in_memory
from consul_kam.config import Settings
from consul_kam.errors import ConfigError
from consul_kam.settings import EnvSettings


def prepare(settings: Settings) -> None:
    """Make what is missing; refuse what other local users could turn against us. Raises ConfigError with the cure."""
    state = settings.state_dir
    try:
        trust.make_directory(state, 0o700)
        trust.refuse_foreign_state(state)
        trust.make_directory(settings.releases, 0o700)
        for directory in sorted({path.parent for path in _staged(settings)}):
            trust.make_directory(directory, 0o750)
            trust.refuse_open("the staging directory", directory)
    except OSError as error:
        raise ConfigError(f"cannot use {error.filename or state}: {error.strerror or error}") from None
    for path in written(settings):
        _writable(path)
    _only_in_memory(settings.env)


def written(settings: Settings) -> tuple[Path, ...]:
    """The live files that this engine writes."""
    include = [settings.env.include] if settings.env.include is not None and not settings.observe else []
    return (*(each.file for each in settings.enabled if each.file is not None and not each.observe), *include)


def _only_in_memory(env: EnvSettings) -> None:
    """The include that has secrets of Vault's: on a disk they would outlive their lease. Raises ConfigError."""
    if env.leased and env.include is not None and not in_memory(env.include.parent):
        cure = "[env] include on tmpfs, as below /run"
        raise ConfigError(f"cannot keep secrets of Vault's in {env.include}: it is on a disk; let {cure}")


def exposed(settings: Settings) -> str:
    """What is wrong with the file that holds Consul's token, or "". It is no reason not to start: Kubernetes mounts
    secrets so by default, and inside a container nobody else may be."""
    path = settings.consul.token_file
    if not path or "consul.token_file" in settings.references.keys:  # one of Vault's is not there yet, and 0600 then
        return ""
    try:
        found = os.stat(path)
    except OSError as error:
        return f"cannot read the token file {path}: {error.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return f"cannot read the token file {path}: it is no regular file"
    if found.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return f"cannot keep Consul's token secret: everybody may read or write {path}; chmod o= {path}"
    return ""


def _staged(settings: Settings) -> list[Path]:
    return [settings.staging_dir / "x", *(each.staging_of(part) for each in settings.enabled for part in each.parts)]


def _writable(path: Path) -> None:
    """The live directory has to be ours to write (design.md, 7), and not everybody's. Raises ConfigError."""
    if not path.parent.is_dir():
        raise ConfigError(f"cannot keep {path}: there is no directory {path.parent}; make it, writable by this user")
    # A disk that the kernel turned read-only may come back; until then the verdict is DEGRADED.
    if not os.access(path.parent, os.W_OK) and not os.statvfs(path.parent).f_flag & os.ST_RDONLY:
        raise ConfigError(f"cannot keep {path}: {path.parent} is not writable by user id {os.getuid()}; chown it")
    if path.is_mount():
        raise ConfigError(f"cannot keep {path}: it is a mount point of its own; mount its directory instead")
    try:
        trust.refuse_open("the live directory", path.parent)
    except OSError as error:
        raise ConfigError(f"cannot keep {path}: {error.filename or path.parent}: {error.strerror}") from None
