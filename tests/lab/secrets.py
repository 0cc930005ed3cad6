"""A directory of secrets on tmpfs: Vault's, or filled by hand as Vault's are (docs/vault.md)."""

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
        self._generation = 0

    @property
    def include(self) -> Path:
        """Where the environment's include may be."""
        return self.beside / "env.cfg"

    def write(self, name: str, **fields: str) -> Path:
        """Another generation of a secret; the one before goes. Its directory."""
        self._generation += 1
        place, link = self.directory / f".{name}.{self._generation}", self.directory / f".{name}.new"
        place.mkdir(0o700)
        for field, text in fields.items():
            (place / field).touch(0o600)
            (place / field).write_text(text)
        before = (self.directory / name).resolve() if (self.directory / name).is_symlink() else None
        link.symlink_to(place.name)
        link.replace(self.directory / name)
        if before is not None:
            shutil.rmtree(before)
        return place

    def withdraw(self, name: str) -> None:
        """Its lease has ended, and policy says stop."""
        place = (self.directory / name).resolve()
        (self.directory / name).unlink()
        shutil.rmtree(place)

    def toml(self, vault: Vault | None = None, token: str = "nobody", more: str = "", **secrets: str) -> str:
        """[vault] with these secrets: name -> the lines of its table. None: nobody is Vault."""
        file = self.beside / "vault-token"
        file.touch(0o600)
        file.write_text(token)
        tables = "".join(f"[vault.secrets.{name}]\n{lines}\n" for name, lines in secrets.items())
        address = vault.address if vault is not None else "http://127.0.0.1:1"
        authority = f'ca_file = "{vault.ca_file}"\n' if vault is not None else ""
        where = f'[vault]\naddress = "{address}"\n{authority}directory = "{self.directory}"\n{more}'
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
