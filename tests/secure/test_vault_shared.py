"""Two engines that name one directory of secrets. Needs no Vault."""

import subprocess
import sys
from pathlib import Path

from tests.lab.engine import ROOT
from tests.lab.ports import free_port
from tests.lab.secret_node import SecretNode, quoted
from tests.secure.test_vault_unused import Nowhere


def test_the_second_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "token").chmod(0o600)
    auth, secret = f"token_file = {quoted(tmp_path / 'token')}", '[vault.secrets.a]\nkind = "consul"\npath = "a/b"\n'
    with SecretNode(tmp_path / "node", Nowhere(), auth, secret, boot_timeout=0.5) as node:  # type: ignore[arg-type]
        node.until("the first, in its directory", lambda: "cannot reach Vault" in "".join(node.told()["troubles"]))
        lay_a_secret(node.secrets)
        other = tmp_path / "other.toml"
        text = node.config.read_text().replace(str(node.state), str(tmp_path / "state"))
        other.write_text(text.replace(str(node.listen), f"127.0.0.1:{free_port()}"))
        refused(other, node)
        node.logged("going on without secrets")
        node.config.write_text(node.config.read_text() + "\n")
        node.hup()
        node.logged("configuration read again")
        node.until("the new one", lambda: node.log.read_text().count("going on without secrets") == 2)
        node.until("it in its directory", lambda: "cannot reach Vault" in "".join(node.told()["troubles"]))
        lay_a_secret(node.secrets)
        refused(other, node)


def lay_a_secret(directory: Path) -> None:
    """One that neither names: whoever comes takes it away."""
    (directory / ".db.1").mkdir(exist_ok=True)
    (directory / ".db.1" / "token").write_text("x")
    (directory / "db").unlink(missing_ok=True)
    (directory / "db").symlink_to(".db.1")


def refused(config: Path, node: SecretNode) -> None:
    command = [sys.executable, "-m", "consul_kam", "--config", str(config), "run"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)
    assert f"cannot use vault.directory {node.secrets}: another engine already keeps it" in ended.stderr
    assert ended.returncode == 2
    assert node.field("db", "token") == "x"
