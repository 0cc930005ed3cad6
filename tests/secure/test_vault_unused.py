"""Who has no [vault] pays nothing for it. Needs no Vault."""

from pathlib import Path

from tests.lab import http
from tests.lab.process import wait_for
from tests.lab.secret_node import SecretNode, quoted

MARKING = """\
import importlib, pathlib, sys
pathlib.Path({mark!r}).write_text("imported")
sys.path.remove({here!r})
del sys.modules["hvac"]
importlib.import_module("hvac")
"""


class Nowhere:
    """Of a Vault only the address."""

    address, ca_file = "https://127.0.0.1:1", Path("/none")


def node(directory: Path, vault: bool) -> tuple[SecretNode, Path]:
    """With an hvac that leaves a mark where it is imported, and then is the real one."""
    mark, packages = directory / "mark", directory / "packages"
    (packages / "hvac").mkdir(parents=True)
    (packages / "hvac" / "__init__.py").write_text(MARKING.format(mark=str(mark), here=str(packages)))
    (directory / "token").write_text("t")
    (directory / "token").chmod(0o600)
    auth, secret = f"token_file = {quoted(directory / 'token')}", '[vault.secrets.a]\nkind = "consul"\npath = "a/b"\n'
    made = SecretNode(directory / "node", Nowhere(), auth, secret, boot_timeout=0.5)  # type: ignore[arg-type]
    made.env["PYTHONPATH"] = f"{packages}:{made.env['PYTHONPATH']}"
    if not vault:
        text = made.config.read_text()
        made.config.write_text(text[: text.index("[vault]")])
    return made, mark


def test_without_vault_hvac_is_never_imported_and_nothing_made(tmp_path: Path) -> None:
    made, mark = node(tmp_path, vault=False)
    with made:
        wait_for("the probes", lambda: http.get(made.listen or "", "/readyz")[0] == 503, 20, made.log)
        assert made.ask("status")["node"]["secrets"] is None
        assert "secrets" not in http.readiness(made.listen or "")["reasons"]
        assert not any("vault" in name or "secret" in name for name, _ in http.scrape(made.listen or ""))
        assert not mark.exists()
        assert not made.secrets.exists()


def test_the_control_would_find_it(tmp_path: Path) -> None:
    made, mark = node(tmp_path, vault=True)
    with made:
        wait_for("hvac imported", mark.exists, 20, made.log)
