"""The last good environment on disk, for nobody's eyes but ours: it may hold secrets."""

import json
from pathlib import Path

from consul_kam.adapters import files, trust
from consul_kam.core import env_known
from consul_kam.core.env_known import Known
from consul_kam.errors import ConsulKamError

FILE = "known.json"
LARGEST = 16 * 2**20
"""Bytes."""


def include(path: Path, content: bytes, private: bool) -> None:
    """Kamailio's include, mode 0640, written where it is other than that. `private`: it has secrets, and nobody but its
    owner and group may do anything with it, whatever it was before. Raises OSError.
    """
    if files.read_if_there(path) != content or (private and not files.is_private(path)):
        files.write_atomic(path, content, 0o640, private=private)


class EnvStore:
    """`directory`: made where it is missing, mode 0700."""

    def __init__(self, directory: Path) -> None:
        self._directory, self.path = directory, directory / FILE

    def load(self) -> Known:
        """Nothing known where there is no file. Raises ConsulKamError for one that is not ours or cannot be read."""
        try:
            raw = files.read_regular(self.path, LARGEST, closed=True)
            return env_known.load(json.loads(raw))
        except FileNotFoundError:
            return Known()
        except OSError as error:
            raise ConsulKamError(f"cannot read {self.path}: {error.strerror or error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
            raise ConsulKamError(f"cannot read {self.path}: it is damaged; remove it") from None

    def save(self, known: Known) -> None:
        """Raises OSError; then what was there is still there."""
        trust.make_directory(self._directory, 0o700)
        files.write_atomic(self.path, json.dumps(env_known.dump(known)).encode(), 0o600)
