"""What all commands share."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from consul_kam import config
from consul_kam.config import Settings

F = TypeVar("F", bound=Callable[..., Any])


class Invocation:
    """The options before the command; reads the configuration when it is first wanted."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """Raises ConfigError."""
        if self._settings is None:
            self._settings = self.read()
        return self._settings

    def read(self, node: Mapping[str, str] | None = None) -> Settings:
        """The configuration as it is now; of [node], what is given counts in place of what the file says.

        Raises ConfigError.
        """
        return config.load(self._path, node=node)


pass_invocation = click.make_pass_decorator(Invocation)


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


class _DatasetName(click.Choice):  # type: ignore[type-arg]
    """KIND, or KIND:NAME; whether that one is configured, the engine says."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, colon, name = value.partition(":")
        found: str = super().convert(kind, param, ctx)
        return found + colon + name


class AnyFile(click.Path):
    """A path as it is given: whether it can be read is said by who reads it. Its name is completed."""

    def __init__(self) -> None:
        super().__init__(readable=False)


class DatasetOrFile(AnyFile):
    """The first word may name the dataset."""

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [] if ctx.params.get(param.name or "") else config.known_datasets()
        found = super().shell_complete(ctx, param, incomplete)
        return [*found, *(CompletionItem(name) for name in names if name.startswith(incomplete))]


def dataset_option(command: F) -> F:
    text = "Only this dataset."
    return click.option("--dataset", metavar="NAME", type=_DatasetName(config.known_datasets()), help=text)(command)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2))


def safe(text: object) -> str:
    """On one line and without control characters: what comes from Consul must not steer a terminal."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))
