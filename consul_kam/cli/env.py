"""`consul-kam env`: variables from Consul's KV."""

import re
import sys
from collections.abc import Sequence
from typing import Any

import click

from consul_kam.cli.common import AnyFile, F, Invocation, as_json, pass_invocation, print_json, safe


def _reveal(command: F) -> F:
    return click.option("--reveal", is_flag=True, help="Show secrets too.")(command)


def _name(context: click.Context, param: click.Parameter, value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9._-]*", value) is None:
        raise click.BadParameter("expected letters, digits, ., _ and -")
    return value


@click.group(invoke_without_command=True, no_args_is_help=False)
@click.option("--role", metavar="ROLE", default="", callback=_name, help="As a node of that role would get it.")
@click.option("--node", metavar="NAME", default="", callback=_name, help="As the node of that name would get it.")
@_reveal
@as_json
@click.pass_context
def env(context: click.Context, role: str, node: str, reveal: bool, as_json: bool) -> None:
    """The environment that this node would get now, each value with its source.

    Layers of Consul's KV ([env] layers), later ones win; then defaults. Where Consul does not answer, or a value is
    wrong, the last good one, from the state directory. Secrets are hidden.

    Exit code 1: something is missing, so that no program would be started, or is not as it should be; 3: Consul does
    not answer.

    \b
    Examples:
      consul-kam env
      consul-kam env --role router --node router-7 --json
      consul-kam env exec -- printenv SIP_PORT
    """
    if context.invoked_subcommand is not None:
        return
    from consul_kam.app import env_words

    invocation = context.find_object(Invocation)
    assert invocation is not None
    another = {"role": role, "name": node}
    settings = invocation.read(another) if any(another.values()) else invocation.settings
    seen = env_words.look(settings, ours=not any(another.values()))
    told = env_words.told(settings, seen, reveal)
    if as_json:
        print_json(told)
    else:
        _show(told)
    sys.exit(3 if seen.away else 0 if told["good"] else 1)


def _show(told: dict[str, Any]) -> None:
    from consul_kam.cli import show

    out = show.console()
    rows = [(each["name"], each["value"], each["source"], each["change"]) for each in told["values"]]
    out.print(show.table(("variable", "value", "source", "a change"), rows))
    if told["consul"]:
        out.print(
            show.word(f"{told['consul']}; known are values of {show.moment(told['known_at']) or 'no time'}", "red")
        )
    for line in told["troubles"]:
        out.print(show.word(line, "yellow"))
    for line in told["missing"]:
        out.print(show.word(f"nothing would be started: {line}", "red"))


@env.command(name="exec", context_settings={"ignore_unknown_options": True})
@click.option("--restart", is_flag=True, help="Stay beside it, and start it anew when its environment changes.")
@click.option(
    "--splay",
    type=click.FloatRange(0, 86400),
    metavar="S",
    default=0.0,
    help="With --restart: within so many s, at a moment of chance, so that not all nodes do it at once.",
)
@click.option(
    "--kill-after",
    type=click.FloatRange(0, 86400),
    metavar="S",
    default=30.0,
    show_default=True,
    help="With --restart: from SIGTERM to SIGKILL, s.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
@pass_invocation
def execute(invocation: Invocation, restart: bool, splay: float, kill_after: float, command: tuple[str, ...]) -> None:
    """Become COMMAND, with the environment beside that of the caller; KV wins.

    What envconsul does. CONSUL_HTTP_TOKEN, CONSUL_HTTP_AUTH and VAULT_TOKEN are not handed on. Where Consul does not
    answer, the last good values go.

    A later change is nothing to COMMAND, unless --restart: then it gets SIGTERM and is started anew. It has to stay in
    the foreground; signals and its standard input, output and error are its own. It goes on where something is missing
    or wrong, or Consul is away. For Kamailio take `consul-kam run`, which drops no call for a new value.

    Exit code: the command's, 128 and the number of the signal that ended it; 1 where something is missing, so that it
    is not started.

    \b
    Examples:
      consul-kam env exec -- kamailio -DD -E -f /etc/kamailio/sbc.cfg
      consul-kam env exec --restart --splay 60 -- homer-app
    """
    if restart:
        from consul_kam.app.env_follow import Follower, Manners

        sys.exit(Follower(invocation.settings, command, Manners(splay, kill_after)).run())
    from consul_kam.app import env_words

    env_words.execute(invocation.settings, command)


@env.command(name="import")
@click.argument("file", type=AnyFile())
@click.option("--to", "layer", metavar="LAYER", required=True, help="A prefix of [env] layers, or the end of one.")
@click.option("--prune", is_flag=True, help="Variables of the layer that are not in FILE go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_reveal
@as_json
@pass_invocation
def load(invocation: Invocation, file: str, layer: str, prune: bool, yes: bool, reveal: bool, as_json: bool) -> None:
    """Put a docker-compose env file into a layer of KV, after showing what that changes; - is standard input.

    All in one transaction (up to 64 variables), and only where nobody changed them meanwhile. A value that its
    declaration refuses, and one that compose would replace ($NAME), is named, and nothing is written.

    Exit code 1: refused, or not written.

    \b
    Examples:
      consul-kam env import .env --to global
      consul-kam env import sbc-1.env --to node/sbc-1 --prune --yes
    """
    from consul_kam.app import env_words

    settings = invocation.settings
    wanted = env_words.compared(settings, file, layer, prune)
    told = [env_words.change_told(settings, change, reveal) for change in wanted.changes]
    if not as_json:
        _changes(told)
        for line in wanted.refused:
            click.echo(safe(f"refused: {line}"), err=True)
    writes = not wanted.refused and bool(told)
    if writes and not yes:
        writes = not as_json and click.confirm(f"Write this to {wanted.kept.layer.place}/?")
    if writes:
        env_words.write(settings, wanted)
    if as_json:
        print_json({"changes": told, "refused": list(wanted.refused), "written": writes})
    elif writes:
        click.echo(safe(f"{wanted.kept.layer.place}: {len(told)} written"))
    sys.exit(0 if writes or not (told or wanted.refused) else 1)


@env.command()
@click.argument("file", required=False, type=AnyFile())
@click.option("--to", "layer", metavar="LAYER", default="", help="With FILE: the layer that it is compared with.")
@_reveal
@as_json
@pass_invocation
def diff(invocation: Invocation, file: str | None, layer: str, reveal: bool, as_json: bool) -> None:
    """What a restart now would change; with FILE, what importing it would.

    Compared is what Kamailio was started with, and what was set live since, with what KV says now.

    Exit code 1: there is a difference; 3: Consul does not answer.
    """
    from consul_kam.app import env_words

    settings = invocation.settings
    if file is not None and not layer:
        raise click.UsageError("FILE needs --to LAYER")
    if file is not None:
        found: Sequence[Any] = env_words.compared(settings, file, layer, prune=False).changes
        away = ""
    else:
        found, away = env_words.differs(settings)
    told = [env_words.change_told(settings, change, reveal) for change in found]
    if as_json:
        print_json({"changes": told, "consul": away})
    else:
        _changes(told)
        if away:
            click.echo(safe(away), err=True)
    sys.exit(3 if away else 1 if told else 0)


def _changes(told: Sequence[Any]) -> None:
    from consul_kam.cli import show

    out, styles = show.console(), {"+": "green", "-": "red", "~": "yellow"}
    for each in told:
        before = each["before"] if each["before"] is not None else ""
        after = each["after"] if each["after"] is not None else ""
        arrow = {"+": f"= {after}", "-": f"= {before}", "~": f"= {before} -> {after}"}[each["sign"]]
        out.print(show.word(f"{each['sign']} {each['name']} {arrow}   ({each['change']})", styles[each["sign"]]))
    if not told:
        out.print(show.word("no difference", "green"))


COMMANDS = (env,)
