"""A Vault on paper, and secrets on a real tmpfs."""

import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consul_kam.adapters.vault import How, Vault
from consul_kam.adapters.vault_wire import Entry, Given
from consul_kam.config import Settings, parse
from consul_kam.errors import VaultError

TOML = """
[node]
role = "rtp"
state_dir = "{state}"
boot_timeout = {patience}
[vault]
directory = "{directory}"
{lines}
[vault.auth]
token_file = "{token}"
[vault.secrets.db]
kind = "database"
path = "database/creds/k"
{more}
"""


class PaperVault(Vault):
    """Gives what it is told to; `refuses`: path, or "login" -> what is raised instead. `calls` lists what was asked."""

    def __init__(self) -> None:
        super().__init__("https://paper")
        self.life, self.renewable, self.login_life = 3600.0, True, 3600.0
        self.data: dict[str, Any] = {}
        self.refuses: dict[str, VaultError] = {}
        self.calls: list[str] = []
        self.revoked: list[str] = []
        self.count = 0
        self.open = threading.Event()
        self.open.set()

    def log_in(self, how: How) -> Entry:
        self._called("login")
        token = Path(how.token_file).read_text()
        return Entry(token, f"id-of-{token}", self.login_life, True)

    def prolong(self, login: str) -> Entry:
        self._called("prolong")
        return Entry(login, f"id-of-{login}", self.login_life, True)

    def give(self, path: str, login: str, body: Mapping[str, Any] | None = None) -> Given:
        self._called(path)
        self.count += 1
        data = self.data.get(path) or {"username": f"u{self.count}", "password": "canary"}
        return Given(data, self.life, self.renewable, f"{path}/{self.count}")

    def renew(self, lease_id: str, login: str) -> Given:
        self._called("renew")
        return Given(None, self.life, self.renewable, lease_id)

    def revoke(self, lease_id: str, login: str) -> None:
        self._called("revoke")
        self.revoked.append(lease_id)

    def _called(self, what: str) -> None:
        self.open.wait(20)
        self.calls.append(what)
        if what in self.refuses:
            raise self.refuses[what]


class Place:
    """Directories of a test; `with` it."""

    def __init__(self, directory: Path) -> None:
        self._tmpfs = tempfile.TemporaryDirectory(prefix="ck-paper-", dir="/dev/shm")
        self.state, self.secrets, self.token = directory / "state", Path(self._tmpfs.name) / "s", directory / "token"
        self.write_token("t1")

    def write_token(self, text: str) -> None:
        new = self.token.with_name("new")
        new.write_text(text)
        new.chmod(0o600)
        new.rename(self.token)

    def settings(
        self, lines: str = "", more: str = "", patience: float = 10.0, change: Callable[[str], str] = str
    ) -> Settings:
        """`change`: of the whole text."""
        text = TOML.format(
            state=self.state, directory=self.secrets, token=self.token, lines=lines, more=more, patience=patience
        )
        return parse(change(text), "f.toml", {})

    def __enter__(self) -> "Place":
        return self

    def __exit__(self, *_: object) -> None:
        self._tmpfs.cleanup()
