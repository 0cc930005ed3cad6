"""Which of our environment a program gets, and which token there is for it."""

import os
from pathlib import Path

import pytest

from consul_kam.app.surroundings import token_of, used_by_consul_template
from consul_kam.config import Settings, parse


def settings(token_file: Path | None = None, more: str = "") -> Settings:
    return parse(f'consul.token_file = "{token_file or ""}"\n{more}', "f.toml", {})


def test_a_token_is_another_one_by_what_it_says(tmp_path: Path) -> None:
    """As Kubernetes swaps a directory behind a link: the file's own link stays as it is."""
    for name, text in (("1", "one"), ("2", "two\n"), ("3", "two")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(text)
    (tmp_path / "token").symlink_to("data/token")
    found = []
    for name in ("1", "2", "3"):
        (tmp_path / "data.new").symlink_to(name)
        (tmp_path / "data.new").replace(tmp_path / "data")
        found.append(token_of(settings(tmp_path / "token")))
    assert found[0] != found[1] == found[2] != ""
    (tmp_path / "data").unlink()
    assert token_of(settings(tmp_path / "token")) == token_of(settings()) == ""


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
