"""`consul-kam secrets`: what comes from Vault."""

import sys
from collections.abc import Mapping
from typing import Any

import click

from consul_kam.app.client import request
from consul_kam.cli.common import Invocation, as_json, pass_invocation, print_json
from consul_kam.errors import ConfigError

GOOD = ("good", "late")


@click.command()
@as_json
@pass_invocation
def secrets(invocation: Invocation, as_json: bool) -> None:
    """Secrets from Vault: how each is, how old, and when its lease ends. Never a value.

    States: waiting (it never came), good, late (good, but what was due failed), expired.

    Exit code 1: one is waiting or expired.

    \b
    Examples:
      consul-kam secrets
      consul-kam secrets --json | jq '.secrets[] | {name, state, expires_in}'
    """
    if not invocation.settings.vault.on:
        raise ConfigError("cannot find secrets: there is no [vault]")
    told = (request(invocation.settings, "status").get("node") or {}).get("secrets") or {"secrets": [], "troubles": []}
    if as_json:
        print_json(told)
    else:
        _show(told)
    sys.exit(0 if all(each["state"] in GOOD for each in told["secrets"]) else 1)


def _show(told: Mapping[str, Any]) -> None:
    from consul_kam.cli import show

    out = show.console()
    head = ("secret", "kind", "state", "version", "age", "expires in", "renewals", "failures")
    out.print(show.table(head, map(_row, told["secrets"])))
    for line in told["troubles"]:
        out.print(show.word(line, "yellow"))


def _row(each: Mapping[str, Any]) -> tuple[object, ...]:
    version = each["version"] or each["serial"] or ""
    there = each["age"] is not None
    ends = "" if not there else _span(each["expires_in"]) if each["expires_in"] is not None else "never"
    age = _span(each["age"]) if there else ""
    return (each["name"], each["kind"], each["state"], version, age, ends, each["renewals"], each["failures"])


def _span(seconds: float) -> str:
    """90 s, 12 min, 5.0 h, 3.2 d; with a sign where it is past."""
    size = abs(seconds)
    for unit, length, least in (("d", 86_400, 172_800), ("h", 3_600, 7_200), ("min", 60, 120)):
        if size >= least:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


COMMANDS = (secrets,)
