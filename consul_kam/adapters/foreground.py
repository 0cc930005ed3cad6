"""A program that whoever started us believes to be us: it has our standard input, output and error."""

import os
import shutil
from collections.abc import Mapping, Sequence

from consul_kam.adapters.processes import RESET, ProcessError


def found(name: str) -> str:
    """The path of a program. Raises ProcessError."""
    path = shutil.which(name)
    if path is None:
        raise ProcessError(f"cannot start {name}: there is no such program")
    return path


def start(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Its pid. A session of its own, so that all it leaves behind can be ended; a terminal's signals we hand on.

    Raises ProcessError.
    """
    path = found(argv[0])
    try:
        return os.posix_spawn(path, list(argv), environment, setsid=True, setsigmask=(), setsigdef=RESET)
    except OSError as error:
        raise ProcessError(f"cannot start {path}: {error.strerror}") from None
