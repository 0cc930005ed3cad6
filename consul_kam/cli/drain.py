"""Leaving without dropping a call, and coming back."""

import sys
import time

import click

from consul_kam.app import leaving
from consul_kam.cli.common import F, Invocation, as_json, pass_invocation, print_json, safe

INTERRUPTED = 130


@click.command()
@click.option(
    "--deadline", type=click.FloatRange(1, 86_400), help="Seconds; calls that are up then are not waited for."
)
@click.option("--reason", metavar="TEXT", help="Shown in Consul and by `ps`.")
@click.option("--force", is_flag=True, help="Also where no other instance passes, or nobody can say.")
@as_json
@pass_invocation
def drain(invocation: Invocation, deadline: float | None, reason: str | None, force: bool, as_json: bool) -> None:
    """Take this node out of use without dropping a call, and wait until no call is left.

    Maintenance in Consul, so that others choose it no more; once nobody has called for [drain] quiet_for, new calls are
    refused; then the calls that are up have until the deadline. The node stays out, whatever is started anew, until
    `undrain`. Interrupted, this only watches no longer: the drain goes on.

    Exit code 1: calls were left at the deadline; or no other instance passes, so that nothing was done.

    \b
    Examples:
      consul-kam drain --reason 'new kernel' && reboot
      consul-kam undrain
    """
    say = _quiet if as_json else _say
    try:
        end = leaving.drain(invocation.settings, deadline, reason, force, say)
    except KeyboardInterrupt:
        click.echo("it goes on draining; `consul-kam undrain` ends that", err=True)
        sys.exit(INTERRUPTED)
    if as_json:
        print_json(end)
    sys.exit(0 if end["clean"] else 1)


@click.command()
@click.option(
    "--wait", type=click.FloatRange(0, 600), default=10.0, show_default=True, help="Seconds for Consul's word."
)
@as_json
@pass_invocation
def undrain(invocation: Invocation, wait: float, as_json: bool) -> None:
    """Bring a node back that was drained; nothing that somebody else has disabled.

    Exit code 1: within --wait Consul did not show it out of our maintenance. That follows by itself.
    """
    end = leaving.undrain(invocation.settings, wait)
    if as_json:
        print_json(end)
    else:
        click.echo(safe(end["said"]))
    sys.exit(0 if end["back"] else 1)


def rolling_options(command: F) -> F:
    """Those of `restart --rolling`."""
    deadline = click.FloatRange(1, 86_400)
    for option in (
        click.option("--force", is_flag=True, help="With --rolling: also where no other instance passes."),
        click.option(
            "--wait", type=click.FloatRange(0, 86_400), default=3600.0, show_default=True, help="For our turn."
        ),
        click.option("--deadline", type=deadline, help="With --rolling: as of `drain`."),
        click.option("--run", "command", metavar="COMMAND", default="", help="With --rolling: what restarts it."),
        click.option("--rolling", is_flag=True, help="Without cutting calls, one node after the other."),
    ):
        command = option(command)
    return command


def roll(
    invocation: Invocation,
    process: str,
    as_json: bool,
    command: str,
    deadline: float | None,
    wait: float,
    force: bool,
) -> None:
    """`restart --rolling`."""
    if process != "kamailio":
        raise click.UsageError("--rolling restarts kamailio: nothing else has calls")
    from consul_kam.app.rolling import Rolling  # and with it what speaks to Consul

    end = Rolling(invocation.settings, command, deadline, force, _quiet if as_json else _say).run(wait)
    if as_json:
        print_json(end)
    sys.exit(0 if end["drained"]["clean"] else 1)


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {safe(line)}")


def _quiet(line: str) -> None:
    pass


COMMANDS = (drain, undrain)
