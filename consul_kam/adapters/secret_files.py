"""Secrets as they lie in their directory: DIR/NAME is a symlink to a generation, which is swapped whole.

What is read of one secret is read of one generation: a user name never stands beside another one's password.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

LARGEST = 65_536
"""Bytes of a field."""
Fields = dict[str, bytes | str]
"""FIELD -> what stands there, or why nobody can say."""


def read(directory: Path, name: str, fields: Sequence[str]) -> Fields:
    """Never raises, and never blocks."""
    for last in (False, True):
        try:
            with _opened(directory / name, os.O_DIRECTORY) as generation:
                found: Fields = {field: _field(generation, field) for field in fields}
        except FileNotFoundError:
            return dict.fromkeys(fields, f"there is no secret {name}")
        except OSError as error:
            return dict.fromkeys(fields, f"cannot read secret {name}: {error.strerror or error}")
        if last or not any(isinstance(each, str) for each in found.values()):
            break  # else that generation may have been taken away meanwhile
    return {field: f"secret {name}: {each}" if isinstance(each, str) else each for field, each in found.items()}


def _field(generation: int, field: str) -> bytes | str:
    try:
        with _opened(field, os.O_NONBLOCK | os.O_NOFOLLOW, generation) as file:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                return f"{field} is no regular file"
            data = os.read(file, LARGEST + 1)
    except FileNotFoundError:
        return f"there is no {field}"
    except OSError as error:
        return f"cannot read {field}: {error.strerror or error}"
    return data if len(data) <= LARGEST else f"{field} has more than {LARGEST} bytes"


@contextlib.contextmanager
def _opened(path: Path | str, flags: int, within: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=within)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
