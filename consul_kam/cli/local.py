"""Commands that need no running engine."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.shell_completion import get_completion_class

from consul_kam import __version__
from consul_kam.app.client import OutOfReach
from consul_kam.cli.common import (
    AnyFile,
    DatasetOrFile,
    Invocation,
    as_json,
    dataset_option,
    pass_invocation,
    print_json,
    safe,
)
from consul_kam.config import known_datasets
from consul_kam.errors import ConfigError


@click.command()
@click.option("--detached", is_flag=True, help="End when nothing is pending or held; kam-apply starts it so.")
@pass_invocation
def run(invocation: Invocation, detached: bool) -> None:
    """Keep Kamailio's memory right, until SIGTERM or SIGINT.

    Watches what consul-template stages, checks it, writes the live files, has Kamailio load them, and proves it by
    reading back.

    With `[node] role` it also keeps consul-template running, with `[kamailio] mode = "spawn"` Kamailio too, and the
    node registered in Consul while it is ready. SIGHUP reads the configuration again; a wrong one is refused. Killed,
    it leaves its programs running, and the next one adopts them.

    \b
    Exit codes beside the usual ones:
      75  a program crashed again and again, and [supervise] on_crash_loop is "exit"

    \b
    Examples:
      consul-kam run
      consul-kam --config ./consul-kam.toml run
    """
    from consul_kam.app import wiring

    sys.exit(wiring.run(invocation.settings, detached=detached, reload=invocation.read))


@click.command()
@click.argument("files", nargs=-1, type=DatasetOrFile(), metavar="[DATASET] FILE...")
@as_json
@pass_invocation
def check(invocation: Invocation, files: tuple[str, ...], as_json: bool) -> None:
    """Say what Kamailio would make of list files; nothing is changed.

    FILE may be what templates stage or Kamailio's own format; - is standard input. DATASET is guessed from the last
    line or the name (dispatcher.list) where it can be; a file of just that name is ./dispatcher. Without FILE:
    everything that is staged.

    Exit code 1: a record would be dropped, or a file is unusable; 3: nothing is staged.

    \b
    Examples:
      consul-kam check /etc/kamailio/dispatcher.list
      consul-kam check dispatcher - < candidate.list
      consul-kam check domain /etc/kamailio/dbtext/domain --json
    """
    from consul_kam.app import check as checking

    name, rest = _split(files)
    paths = rest or _staged(invocation, name)
    found = [checking.check(name, file, checking.read(file, not rest), invocation.settings) for file in paths]
    live = {str(each.file) for each in invocation.settings.unprotected}
    unprotected = [file for file in paths if os.path.realpath(file) in map(os.path.realpath, live)]
    _show_checked(found, as_json, unprotected)


def _split(files: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    return (files[0], files[1:]) if files and files[0].partition(":")[0] in known_datasets() else (None, files)


def _staged(invocation: Invocation, name: str | None) -> list[str]:
    """The staging files that are there. Raises OutOfReach where there is none."""
    chosen = [invocation.settings.dataset(name)] if name else invocation.settings.enabled
    paths = [dataset.staging_of(part) for dataset in chosen for part in dataset.parts]
    found = [str(path) for path in paths if path.exists()]
    if not found:
        raise OutOfReach(
            f"cannot check: nothing is staged at {', '.join(map(str, paths))}; is consul-template running?"
        )
    return found


def _show_checked(
    found: Sequence[Any], as_json: bool, unprotected: Sequence[str] = (), with_records: bool = False
) -> None:
    if as_json:
        print_json({"files": [_plain(each) for each in found], "unprotected": unprotected})
    else:
        from consul_kam.cli import show

        show.checked(found, with_records)
        for file in unprotected:
            click.echo(safe(f"{file}: unprotected: consul-template writes this live file itself, past every check"))
    sys.exit(0 if all(each.good for each in found) else 1)


def _plain(each: Any) -> dict[str, Any]:
    return {
        "file": each.file,
        "dataset": each.dataset,
        "good": each.good,
        "native": each.native,
        "error": each.error,
        "records": [
            {"set": r.group, "line": r.line, "use": r.use.value, "source": str(r.source)} for r in each.records
        ],
        "dropped": [{"line": p.line, "column": p.column, "reason": p.reason, "text": str(p)} for p in each.dropped],
    }


@click.command()
@dataset_option
@click.option("--deadline", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="Seconds to wait.")
@click.option(
    "--program", metavar="FILE", type=AnyFile(), default="", help="consul-template to run. Default: the configured one."
)
@as_json
@pass_invocation
def render(invocation: Invocation, dataset: str | None, deadline: float, program: str, as_json: bool) -> None:
    """Ask Consul now: run consul-template once and show the records and what becomes of them.

    Nothing is staged, written or loaded. Exit code 1: a record would be dropped; 3: Consul or consul-template is away.
    """
    from consul_kam.app import check as checking
    from consul_kam.app import render as rendering

    settings = invocation.settings
    chosen = (settings.dataset(dataset),) if dataset else settings.enabled
    rendered = rendering.render(settings, chosen, deadline, program)
    found = [checking.check(each.dataset, each.file, each.content, settings) for each in rendered]
    _show_checked(found, as_json, with_records=True)


@click.group(no_args_is_help=False)
def templates() -> None:
    """The templates for consul-template."""


@templates.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@as_json
@pass_invocation
def export(invocation: Invocation, directory: Path, as_json: bool) -> None:
    """Write the templates into DIRECTORY, with the configured sets baked in.

    Prints which staging file each is for. consul-template's configuration names both, and `kam-apply` as the command
    where no `consul-kam run` is running: examples/consul-template.hcl shows how.

    \b
    Example:
      consul-kam templates export /etc/consul_kam/templates
    """
    from consul_kam.app import templates as exporting

    written = exporting.export(directory, {name: each.sets for name, each in invocation.settings.datasets.items()})
    if as_json:
        print_json({"written": [str(path) for path in written]})
        return
    for path in written:
        name, part = exporting.meant_for(path.name)
        click.echo(safe(f"{path} -> {invocation.settings.dataset(name).staging_of(part)}"))


@click.group(no_args_is_help=False)
def config() -> None:
    """The configuration."""


@config.command(name="show")
@as_json
@pass_invocation
def config_show(invocation: Invocation, as_json: bool) -> None:
    """The configuration that is in force, defaults included, and where it comes from."""
    shown = invocation.settings.plain()
    if as_json:
        print_json(shown)
        return
    for key, value in _flat(shown):
        click.echo(safe(f"{key} = {json.dumps(value, ensure_ascii=False)}"))


def _flat(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        return [pair for name, inner in value.items() for pair in _flat(inner, f"{key}.{name}" if key else name)]
    return [(key, value)]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands and options.

    \b
    Examples:
      consul-kam completion bash > /etc/bash_completion.d/consul-kam
      consul-kam completion zsh > "${fpath[1]}/_consul-kam"
      consul-kam completion fish > ~/.config/fish/completions/consul-kam.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise ConfigError(f"cannot complete for {shell}")
    click.echo(found(context.find_root().command, {}, "consul-kam", "_CONSUL_KAM_COMPLETE").source())


@click.command()
@as_json
def version(as_json: bool) -> None:
    """The versions of consul_kam and Python."""
    found = {"consul_kam": __version__, "python": platform.python_version()}
    if as_json:
        print_json(found)
    else:
        click.echo(f"consul-kam {found['consul_kam']}, Python {found['python']}")


COMMANDS = (run, check, render, templates, config, completion, version)
