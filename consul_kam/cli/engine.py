"""Commands that ask a running engine."""

import sys
from typing import Any

import click

from consul_kam.app.client import request
from consul_kam.cli import drain
from consul_kam.cli.common import Invocation, as_json, dataset_option, pass_invocation, print_json, safe

GOOD = frozenset({"PUBLISHED", "HELD", "SUPERSEDED", "OBSERVED"})


@click.command()
@click.option(
    "--wait", type=click.FloatRange(0, 50), default=2.0, show_default=True, help="Seconds to wait for verdicts."
)
@as_json
@pass_invocation
def apply(invocation: Invocation, wait: float, as_json: bool) -> None:
    """Apply what is staged now, and say what became of it.

    The engine does so by itself; this is for scripts that want the verdict. Exit code 1: a list was rejected, is
    blocked, busy or degraded, or has no verdict yet.
    """
    reply = request(invocation.settings, "apply", wait + 5, wait=wait)
    if as_json:
        print_json(reply)
    else:
        from consul_kam.cli import show

        show.verdicts(reply)
    sys.exit(0 if all(entry["verdict"] in GOOD for entry in reply["verdicts"]) and not reply["waiting"] else 1)


@click.command()
@as_json
@pass_invocation
def status(invocation: Invocation, as_json: bool) -> None:
    """Is Consul = staging = live file = memory, since when, and what is held back?

    consul-template is run once, beside the one that stages, to see what Consul says now; that takes at most some 3 s.
    Where it cannot be seen, the column says unknown, and the reason is below.

    Exit code 1: staging is not what Consul says, or is rejected, memory differs, or a list is blocked or degraded.
    Held records are fine, and so is what is unknown.

    \b
    Examples:
      consul-kam status
      consul-kam status --json | jq '.datasets[] | {name, verdict}'
    """
    reply = request(invocation.settings, "status", consul=True)
    unprotected = [dataset.name for dataset in invocation.settings.unprotected]
    if as_json:
        print_json({**reply, "unprotected": unprotected})
    else:
        from consul_kam.cli import show_status

        show_status.status(reply, unprotected)
    sys.exit(0 if all(_right(entry) for entry in reply["datasets"]) else 1)


def _right(entry: dict[str, Any]) -> bool:
    rejected = any(staging["state"] == "rejected" for staging in entry["staging"])
    stale = (entry.get("consul") or {}).get("state") == "differs"  # an older engine does not say
    equal = entry["memory"]["state"] == "equal"
    return equal and entry["phase"] != "DEGRADED" and not (rejected or stale or entry["blocked"])


@click.command()
@click.argument("release", required=False)
@dataset_option
@as_json
@pass_invocation
def rollback(invocation: Invocation, release: str | None, dataset: str | None, as_json: bool) -> None:
    """Put a release back and pin it: newer ones wait until `approve`.

    Without RELEASE, the one before the current; typed again, the one before that. `consul-kam history` lists them.

    \b
    Examples:
      consul-kam rollback
      consul-kam rollback --dataset domain 000042
    """
    name = dataset or "dispatcher"
    done = f"{name}: pinned to {{release}}; `consul-kam approve` lets newer releases in"
    _told(invocation, as_json, done, "rollback", name, release)


@click.command()
@dataset_option
@as_json
@pass_invocation
def approve(invocation: Invocation, dataset: str | None, as_json: bool) -> None:
    """Let pass what waits: end holds, and the pin of a rollback."""
    _told(invocation, as_json, f"{dataset or 'all datasets'}: approved", "approve", dataset)


@click.command()
@dataset_option
@as_json
@pass_invocation
def pause(invocation: Invocation, dataset: str | None, as_json: bool) -> None:
    """Write nothing more, but go on watching, until `resume`."""
    _told(invocation, as_json, f"{dataset or 'all datasets'}: paused until `consul-kam resume`", "pause", dataset)


@click.command()
@dataset_option
@as_json
@pass_invocation
def resume(invocation: Invocation, dataset: str | None, as_json: bool) -> None:
    """End a pause: what was staged meanwhile is applied."""
    _told(invocation, as_json, f"{dataset or 'all datasets'}: resumed", "resume", dataset)


def _told(
    invocation: Invocation, as_json: bool, done: str, do: str, dataset: str | None, release: str | None = None
) -> None:
    reply = request(invocation.settings, do, dataset=dataset, release=release)
    if as_json:
        print_json(reply)
    else:
        click.echo(safe(done.format_map(reply)))


@click.command()
@as_json
@pass_invocation
def ps(invocation: Invocation, as_json: bool) -> None:
    """The programs that `run` keeps: state, uptime, restarts, memory.

    RSS is that of all processes of a program, shared memory counted once. Exit code 1: one of them does not run, or
    the node is not ready.
    """
    reply = request(invocation.settings, "ps")
    if as_json:
        print_json(reply)
    else:
        from consul_kam.cli import show

        show.processes(reply)
    running = all(entry["state"] == "RUNNING" for entry in reply["processes"])
    sys.exit(0 if running and not reply.get("waits_for") else 1)


@click.command()
@click.argument("process", type=click.Choice(["kamailio", "consul-template"]), default="kamailio")
@drain.rolling_options
@as_json
@pass_invocation
def restart(invocation: Invocation, /, process: str, rolling: bool, as_json: bool, **how: Any) -> None:
    """End a program that `run` started, and start it again; Kamailio where none is named, as for a new configuration.

    With --rolling no call is cut: run on each node of a service, all at once or one by one, it waits for its turn (a
    lock in Consul), drains, restarts, waits until the node is ready, and brings it back. It stops, with exit code 1,
    where another node does not pass, or did not come back from its own turn.

    A configuration that `kamailio -c` refuses is told and nothing is ended. One that does not come up gives way to the
    previous one. Exit code 1: it is not up, or not on the new configuration. Without --rolling calls are cut.

    \b
    Examples:
      consul-kam restart
      consul-kam restart --rolling
      consul-kam restart --rolling --run 'systemctl restart kamailio'
    """
    if rolling:
        drain.roll(invocation, process, as_json, **how)
        return
    reply = request(invocation.settings, "restart", 60.0, process=process)
    if as_json:
        print_json(reply)
    else:
        click.echo(f"{process}: up, process {reply['pid']}")


COMMANDS = (apply, status, rollback, approve, pause, resume, ps, restart)
