"""A directory for Vault's secrets, on tmpfs (docs/vault.md), and what says so."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.process import LabError
from tests.lab.vault import Vault

MEMORY = Path("/dev/shm")


class Secrets:
    """`with Secrets() as secrets:`; `directory` is [vault]'s, `beside` a place on tmpfs for whatever holds secrets."""

    def __init__(self) -> None:
        if not MEMORY.is_dir():
            raise LabError(f"cannot keep secrets: there is no {MEMORY}")
        self.beside = Path(tempfile.mkdtemp(prefix="ck-", dir=MEMORY))
        self.directory = self.beside / "secrets"
        self.directory.mkdir(0o700)

    @property
    def include(self) -> Path:
        """Where the environment's include may be."""
        return self.beside / "env.cfg"

    def withdraw(self, name: str) -> None:
        """As where its lease has ended, and policy says stop; what Vault still gives is there again at once."""
        place = (self.directory / name).resolve()
        (self.directory / name).unlink()
        shutil.rmtree(place)

    def toml(self, vault: Vault, token: str, more: str = "", **secrets: str) -> str:
        """[vault] with these secrets: name -> the lines of its table. `token`: to log in with."""
        file = self.beside / "vault-token"
        file.touch(0o600)
        file.write_text(token)
        tables = "".join(f"[vault.secrets.{name}]\n{lines}\n" for name, lines in secrets.items())
        where = (
            f'[vault]\naddress = "{vault.address}"\nca_file = "{vault.ca_file}"\ndirectory = "{self.directory}"\n{more}'
        )
        return f'{where}[vault.auth]\ntoken_file = "{file}"\n{tables}'

    def read(self, name: str, field: str) -> str:
        """What stands there now, "" where nothing does."""
        try:
            return (self.directory / name / field).read_text()
        except FileNotFoundError:
            return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.beside, ignore_errors=True)
