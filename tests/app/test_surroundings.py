"""Which of our environment a program gets."""

import os
from pathlib import Path

import pytest

from consul_kam.app.surroundings import used_by_consul_template
from consul_kam.config import Settings, parse


def settings(token_file: Path | None = None, more: str = "") -> Settings:
    return parse(f'consul.token_file = "{token_file or ""}"\n{more}', "f.toml", {})


def test_consul_template_gets_no_token_that_it_does_not_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONSUL_HTTP_TOKEN", "VAULT_TOKEN", "NOTIFY_SOCKET", "X"):
        monkeypatch.setenv(name, "x")
    vault = '[vault.auth]\ntoken_file = "/t"\n[vault.secrets.a]\nkind = "kv"\npath = "secret/data/a"'
    bare = used_by_consul_template(settings())
    assert {"CONSUL_HTTP_TOKEN", "VAULT_TOKEN", "X", "PATH"} <= set(bare)
    assert "NOTIFY_SOCKET" not in bare
    assert set(os.environ) - set(used_by_consul_template(settings(tmp_path / "token", vault))) >= {
        "CONSUL_HTTP_TOKEN",
        "VAULT_TOKEN",
    }
