"""Commands about what was: releases and the journal."""

import json
import sys
from typing import Any

import click

from consul_kam.app.client import request
from consul_kam.cli.common import AnyFile, Invocation, as_json, dataset_option, pass_invocation, print_json, safe

MOST = 100_000
"""Entries that `history` shows at most."""


class Moment(click.ParamType):  # type: ignore[type-arg]
    """Seconds since 1970 of what people type."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from consul_kam.app import history as past

        try:
            return past.since(str(value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command()
@click.argument("a", required=False)
@click.argument("b", required=False)
@dataset_option
@as_json
@pass_invocation
def diff(invocation: Invocation, a: str | None, b: str | None, dataset: str | None, as_json: bool) -> None:
    """What differs between Kamailio's memory and what it shall hold, or between two releases.

    Without A, memory is read for it. Where that cannot be now, it is told from when this is, and what differs then.

    A and B are releases, by name, number or digest as `consul-kam history` lists them: what B changed, where B is left
    out the newest. No engine is needed for that.

    Exit code 0: nothing; 1: something does, or that is not known now.

    \b
    Examples:
      consul-kam diff
      consul-kam diff 41 42 --dataset domain
    """
    if a is None:
        _memory(invocation, dataset, as_json)
    from consul_kam.app import history as past

    found = past.between(invocation.settings, dataset, str(a), b)
    if as_json:
        print_json(found)
    else:
        from consul_kam.cli import show_past

        show_past.between(found)
    sys.exit(0 if found["equal"] else 1)


def _memory(invocation: Invocation, dataset: str | None, as_json: bool) -> None:
    reply = request(invocation.settings, "diff", dataset=dataset)
    if as_json:
        print_json(reply)
    else:
        from consul_kam.cli import show

        show.difference(reply)
    sys.exit(0 if all(entry.get("equal") and not entry.get("stale") for entry in reply["datasets"]) else 1)


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, MOST),
    help=f"Newest so many.  [default: 20; with --since {MOST}]",
)
@click.option("--since", type=Moment(), metavar="WHEN", help="None older: 2h, 3d, 14:30, 2026-01-31, ...")
@click.option("--follow", is_flag=True, help="Go on with each that comes, until interrupted.")
@dataset_option
@as_json
@pass_invocation
def history(
    invocation: Invocation, limit: int | None, since: float | None, follow: bool, dataset: str | None, as_json: bool
) -> None:
    """What was applied when, and the releases that `rollback` can put back.

    With --follow the journal itself is read, so it goes on while engines end and start; --json prints an object a line.

    \b
    Examples:
      consul-kam history --since 2h --dataset dispatcher
      consul-kam history --follow --json | jq .verdict
    """
    limit = limit or (20 if since is None else MOST)
    if follow:
        _follow(invocation, dataset, since or 0.0, limit, as_json)
        return
    more = {} if since is None else {"since": since}
    reply = request(invocation.settings, "history", limit=limit, dataset=dataset, **more)
    if as_json:
        print_json(reply)
    else:
        from consul_kam.cli import show

        show.history(reply)


def _follow(invocation: Invocation, dataset: str | None, since: float, limit: int, as_json: bool) -> None:
    from consul_kam.app import history as past
    from consul_kam.cli import show_past

    for entry in past.follow(invocation.settings, dataset, since, limit):
        click.echo(json.dumps(entry) if as_json else show_past.line(entry))


@click.group(no_args_is_help=False)
def journal() -> None:
    """The journal: what became of each list, and what operators said."""


@journal.command()
@click.option("--since", type=Moment(), metavar="WHEN", help="None older: 3d, 2026-01-31, 2026-01-31T14:30+01:00, ...")
@click.option("--until", type=Moment(), metavar="WHEN", help="None newer.")
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@dataset_option
@pass_invocation
def export(invocation: Invocation, since: float | None, until: float | None, kind: str, dataset: str | None) -> None:
    """Print the journal, oldest entry first, for audit. No engine is needed.

    As CSV its columns are time (UTC), at (seconds since 1970), dataset, what, release, records, added, removed,
    changed, held, dropped, reason and entry, which is the whole entry as JSON. A cell that a spreadsheet would take for
    a formula begins with an apostrophe. Lines that a crash cut are left out, and how many is said on standard error.

    \b
    Example:
      consul-kam journal export --since 30d --format csv > audit.csv
    """
    from consul_kam.app import history as past

    lines, damaged = past.export(invocation.settings, dataset, since or 0.0, until, kind == "csv")
    for line in lines:
        click.echo(line)
    if damaged():
        click.echo(safe(f"cannot read {damaged()} lines of {invocation.settings.journal}: they are left out"), err=True)


@click.command()
@click.argument("file", type=AnyFile())
@dataset_option
@click.option("--min-records", type=click.IntRange(0, 1_000_000), help="Try this [datasets.NAME] min_records.")
@click.option("--max-shrink", type=click.FloatRange(0, 1), help="Try this max_shrink.")
@click.option("--hold-for", type=click.FloatRange(0, 86_400), help="Try this hold_for, s.")
@click.option(
    "--window",
    type=click.FloatRange(0, 3600),
    help="Seconds for which Kamailio refuses a reload after the last one.  [default: as Kamailio ships]",
)
@as_json
@pass_invocation
def replay(invocation: Invocation, /, file: str, dataset: str | None, as_json: bool, **tried: float | None) -> None:
    """What would have gone live when, been held until when, been rejected: by these settings.

    FILE is what an engine recorded (`[log] record`), or JSON lines made by hand, "-" for standard input:
    {"at": seconds, "dataset": NAME, "part": "", "content": "the staging file"}. It goes through validation, guards and
    the release machine against a Kamailio in memory that never fails; nothing real is touched, and no time passes.

    \b
    Examples:
      consul-kam replay /var/lib/consul_kam/staged.jsonl
      consul-kam replay staged.jsonl --max-shrink 0.3 --hold-for 300
    """
    from consul_kam.app import replay as playing

    found = playing.replay(invocation.settings, file, dataset, playing.Tried(**tried))  # type: ignore[arg-type]
    if as_json:
        print_json(found)
    else:
        from consul_kam.cli import show_past

        show_past.replayed(found)


COMMANDS = (diff, history, journal, replay)
