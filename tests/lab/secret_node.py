"""A node whose only concern is secrets: role `rtp`, no list, no Consul, a Vault, and a directory on tmpfs."""

import json
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from consul_kam.adapters.control import ControlUnreachable
from tests.lab.engine import ROOT
from tests.lab.node import Node
from tests.lab.ports import free_port
from tests.lab.process import short_directory, wait_for
from tests.lab.vault import Vault

CONFIG = """\
[node]
role = "rtp"
name = "secrets"
state_dir = "{state}"
boot_timeout = {boot_timeout}
[consul]
address = "127.0.0.1:1"
[registration]
enabled = false
[rtpengine]
ng = "udp:127.0.0.1:{ng}"
[http]
listen = "{listen}"
[vault]
address = "{vault}"
ca_file = "{ca}"
directory = "{directory}"
{vault_lines}
{secrets}
"""
SHM = Path("/dev/shm")
"""A tmpfs on every Linux."""


class SecretNode(Node):
    """`with SecretNode(tmp_path, vault, auth, secrets) as node:`; `auth`: of [vault.auth], `secrets`: its tables."""

    def __init__(
        self,
        directory: Path,
        vault: Vault,
        auth: str,
        secrets: str,
        vault_lines: str = "",
        boot_timeout: float = 10.0,
        env: dict[str, str] | None = None,
    ) -> None:
        self.directory, self.log = directory, directory / "engine.log"
        directory.mkdir(parents=True, exist_ok=True)
        self.state = short_directory(self) / "state"
        self._tmpfs = tempfile.TemporaryDirectory(prefix="ck-secrets-", dir=SHM)
        self.secrets = Path(self._tmpfs.name) / "secrets"
        self.config = directory / "consul-kam.toml"
        self.env = {"CONSUL_KAM_CONFIG": str(self.config), "PYTHONPATH": str(ROOT), **(env or {})}
        self.listen = f"127.0.0.1:{free_port()}"
        self._process, self._wanted, self._wrapper = None, True, []
        self._vault, self._vault_lines, self._boot_timeout = vault, vault_lines, boot_timeout
        self._ng = free_port()
        self.configure(auth, secrets)

    def configure(self, auth: str, secrets: str) -> None:
        self.config.write_text(
            CONFIG.format(
                state=self.state,
                boot_timeout=self._boot_timeout,
                ng=self._ng,
                listen=self.listen,
                vault=self._vault.address,
                ca=self._vault.ca_file,
                directory=self.secrets,
                vault_lines=self._vault_lines + ("\n[vault.auth]\n" + auth if auth else ""),
                secrets=secrets,
            )
        )

    def told(self) -> dict[str, Any]:
        """Of its status."""
        found = self.ask("status")["node"]["secrets"]
        assert isinstance(found, dict)
        return found

    def secret(self, name: str) -> dict[str, Any]:
        return next(each for each in self.told()["secrets"] if each["name"] == name)

    def until(self, what: str, probe: Any, timeout: float = 30.0) -> None:
        """Until `probe()` is true; between two configurations nobody answers."""

        def look() -> bool:
            try:
                return bool(probe())
            except ControlUnreachable:
                return False

        wait_for(what, look, timeout, self.log, every=0.05)

    def good(self, *names: str, timeout: float = 30.0) -> Self:
        """Until these are there, and good."""

        def good() -> bool:
            states = {each["name"]: each["state"] for each in self.told()["secrets"]}
            return all(states[name] == "good" for name in names)

        self.until(f"{names} good", good, timeout)
        return self

    def field(self, name: str, field: str) -> str:
        """What stands in the file; "" where there is none."""
        try:
            return (self.secrets / name / field).read_text()
        except FileNotFoundError:
            return ""

    def rights(self) -> set[str]:
        """Modes of all that lies in the directory, it itself included, as octal digits; without symlinks."""
        found = {oct(stat.S_IMODE(self.secrets.stat().st_mode))}
        for place, directories, files in os.walk(self.secrets):
            for name in (*directories, *files):
                seen = os.lstat(os.path.join(place, name))
                if not stat.S_ISLNK(seen.st_mode):
                    found.add(("d" if stat.S_ISDIR(seen.st_mode) else "f") + oct(stat.S_IMODE(seen.st_mode)))
        return found

    def generations(self, name: str) -> list[int]:
        """Those that lie there."""
        return sorted(int(path.name.rpartition(".")[2]) for path in self.secrets.glob(f".{name}.*[0-9]"))

    def events(self, event: str) -> list[dict[str, Any]]:
        """Of the journal."""
        return [entry for entry in self.journal() if entry["event"] == event]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._tmpfs.cleanup()


def quoted(path: Path | str) -> str:
    """As TOML has it."""
    return json.dumps(str(path))
