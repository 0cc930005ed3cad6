"""`consul-kam`: the command line. Exit codes: 0 ok; 1 the answer is no; 2 usage or configuration; 3 out of reach.

Only this package imports click and rich; rich only where something is shown, so that `run` stays small.
"""

import os
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

import click

from consul_kam.app.client import OutOfReach
from consul_kam.cli import drain, engine, env, local, night, past, secrets
from consul_kam.cli.common import AnyFile, Invocation, safe
from consul_kam.errors import ConfigError, ConsulKamError, RpcTimeout, RpcUnreachable

INTERNAL_ERROR = 70
"""EX_SOFTWARE of sysexits.h: a defect of ours, told apart from every answer."""
INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, invoke_without_command=True
)
@click.option(
    "--config",
    metavar="FILE",
    type=AnyFile(),
    help="Configuration; else $CONSUL_KAM_CONFIG, /etc/consul_kam/consul-kam.toml.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an internal error.")
@click.pass_context
def cli(context: click.Context, config: str | None, debug: bool) -> None:
    """What Consul says and what Kamailio routes with are the same, proven by reading Kamailio back.

    \b
    First steps, on a host with Consul and Kamailio at their usual places:
      consul-kam templates export /etc/consul_kam/templates    templates for consul-template
      consul-kam run                                           the engine
      consul-kam status                                        is Consul = staging = live file = memory?

    \b
    Exit codes of every command:
      0   ok
      1   the answer is no: invalid, different, not ready, refused
      2   the command line or the configuration is wrong
      3   a needed part cannot be reached: the engine, Kamailio, Consul
      70  a defect of consul_kam
    """
    context.obj = Invocation(config)
    if not debug:
        sys.excepthook = _internal_error
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


GROUPS = (local, engine, env, secrets, drain, night, past)
for command in (command for group in GROUPS for command in group.COMMANDS):
    cli.add_command(command)


def main() -> NoReturn:
    """The console script: runs, says what went wrong in one line, and exits."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """One command, by default that of `sys.argv`; returns its exit code."""
    try:
        code = cli.main(arguments, prog_name="consul-kam", standalone_mode=False)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "consul-kam"
        return _failed(
            f"cannot run {where}: {error.format_message().rstrip('.')}; see `{where} --help`", error.exit_code
        )
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:  # `consul-kam history | head`: nobody reads on, and the flush at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ConsulKamError as error:
        return _failed(str(error), _exit_code(error))
    except OSError as error:
        return _failed(f"cannot go on: {error.filename or ''}: {error.strerror or error}".replace(" : ", " "), 1)
    return code if isinstance(code, int) else 0


def _exit_code(error: ConsulKamError) -> int:
    if isinstance(error, ConfigError):
        return 2
    return 3 if isinstance(error, OutOfReach | RpcUnreachable | RpcTimeout) else 1


def _failed(message: str, code: int) -> int:
    click.echo(safe(message), err=True)
    return code


def _internal_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    click.echo(safe(f"cannot go on: internal error: {kind.__name__}: {error}; please report it with --debug"), err=True)
    sys.stdout.flush()
    os._exit(INTERNAL_ERROR)
