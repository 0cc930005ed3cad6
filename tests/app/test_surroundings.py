"""Which of our environment a program gets."""

import os
from pathlib import Path

import pytest

from consul_kam.app.render import Renderer
from consul_kam.app.surroundings import PLAIN, used_by_alerts, used_by_consul_template, without_secrets
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


def test_so_does_one_that_is_run_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that tells what it was given, in place of consul-template."""
    for name in ("CONSUL_HTTP_TOKEN", "NOTIFY_SOCKET", "DC"):
        monkeypatch.setenv(name, "x")
    program = tmp_path / "tells"
    program.write_text(f"#!/bin/sh\nenv > {tmp_path}/given\n")
    program.chmod(0o700)
    given = settings(tmp_path / "token")
    assert Renderer(given, program=str(program)).attempt([given.dataset("dispatcher")], 10.0).failed
    names = {line.partition("=")[0] for line in (tmp_path / "given").read_text().splitlines()}
    assert {"PATH", "DC"} <= names
    assert not {"CONSUL_HTTP_TOKEN", "NOTIFY_SOCKET"} & names


def test_kamailio_gets_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "VAULT_TOKEN", "NOTIFY_SOCKET", "SHM_MEMORY"):
        monkeypatch.setenv(name, "x")
    assert set(os.environ) - set(without_secrets()) == {
        "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "VAULT_TOKEN", "NOTIFY_SOCKET",
    }  # fmt: skip


def test_an_alert_gets_what_any_program_needs_and_what_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("CONSUL_HTTP_TOKEN", "CONSUL_KAM_CONFIG", "VAULT_ADDR", "CREDENTIALS_DIRECTORY", "DBURL", "https_proxy")
    for name in (*ours, *PLAIN, "LC_ALL", "LC_TIME"):
        monkeypatch.setenv(name, name.lower())
    plain = {name: name.lower() for name in (*PLAIN, "LC_ALL", "LC_TIME")}
    assert used_by_alerts(()) == plain
    monkeypatch.delenv("TZ")
    del plain["TZ"]
    assert used_by_alerts(["https_proxy", "NOT_THERE"]) == {**plain, "https_proxy": "https_proxy"}
