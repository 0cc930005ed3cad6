"""`secrets` and what `status` says of them, against prepared replies."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import STATUS, Engine, Run, engine, run

__all__ = ["engine", "run"]

DB: dict[str, Any] = {
    "name": "db", "kind": "database", "state": "good", "generation": 3, "version": 0, "serial": "", "age": 30.0,
    "expires_in": 90.4, "before_expires_in": None, "renewals": 2, "failures": 1, "trouble": "",
}  # fmt: skip
API = {**DB, "name": "api", "kind": "kv", "version": 7, "age": 200_000.0, "expires_in": None}
TOLD: dict[str, Any] = {
    "vault": "https://v:8200", "method": "token", "reachable": True, "logged_in": True, "login_expires_in": 5.0,
    "directory": "/run/x", "on_expiry": "keep", "secrets": [DB, API], "troubles": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def on(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `run`, which takes the variable away."""
    (tmp_path / "c.toml").write_text('[vault.auth]\ntoken_file = "/t"\n')
    monkeypatch.setenv("CONSUL_KAM_CONFIG", str(tmp_path / "c.toml"))


def answers(engine: Engine, **changes: Any) -> None:
    engine.replies["status"] = {**STATUS, "node": {"secrets": {**TOLD, **changes}}}


def lines(out: str) -> list[str]:
    return [" ".join(line.split()) for line in out.splitlines()]


def test_a_line_each(run: Run, engine: Engine) -> None:
    answers(engine)
    code, out, _ = run("secrets")
    assert code == 0
    assert any("db database good 30 s 90 s 2 1" in line for line in lines(out))
    assert any("api kv good 7 2.31 d never 2 1" in line for line in lines(out))
    code, out, _ = run("secrets", "--json")
    assert json.loads(out) == TOLD


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"state": "waiting", "age": None, "expires_in": None, "generation": 0}, "db database waiting 2 1"),
        ({"state": "expired", "expires_in": -7_300.0, "age": 130.0}, "db database expired 2.17 min -2.03 h 2 1"),
    ],
)
def test_what_cannot_be_used_makes_it_a_no(run: Run, engine: Engine, change: dict[str, Any], shown: str) -> None:
    answers(engine, secrets=[{**DB, **change}, API], troubles=["db: \x1b[2J"])
    code, out, _ = run("secrets")
    assert code == 1
    assert any(shown in line for line in lines(out)), out
    assert "\x1b[2J" not in out
    code, out, _ = run("status")
    assert f"secrets: db {change['state']}" in out
    assert "secrets: db: " in out


def test_what_is_late_is_good(run: Run, engine: Engine) -> None:
    answers(engine, secrets=[{**DB, "state": "late"}])
    assert run("secrets")[0] == 0
    out = run("status")[1]
    assert "secrets: 1 from Vault at https://v:8200; the first lease ends in 90 s" in out


def test_an_engine_without_them_has_none(run: Run, engine: Engine) -> None:
    engine.replies["status"] = {**STATUS, "node": {"secrets": None}}
    assert run("secrets")[0] == 0
    assert "secrets" not in run("status")[1]


def test_without_the_table_there_are_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("")
    assert run("secrets") == (2, "", "cannot find secrets: there is no [vault]\n")
