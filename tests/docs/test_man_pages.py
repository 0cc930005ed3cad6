"""The man pages: groff has no complaint, and all that there is is told. Whether they are stale: test_cli.py."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from consul_kam import cli

REPO = Path(__file__).parents[2]
MAN = REPO / "docs" / "man"
sys.path.insert(0, str(REPO / "tools"))

import man_pages  # noqa: E402

PAGES = sorted(MAN.iterdir())


def shown(page: Path | str) -> str:
    """As a terminal shows it, without emphasis; fails where groff warns of anything."""
    source = page if isinstance(page, str) else page.read_text(encoding="utf-8")
    argv = ["groff", "-man", "-ww", "-b", "-Tutf8", "-P-cbou", "-K", "utf8", "-rLL=400n"]
    done = subprocess.run(argv, input=source, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_groff_has_no_complaint(page: Path) -> None:
    assert "NAME" in shown(page)


def test_each_command_and_option_is_told() -> None:
    text = shown(MAN / "consul-kam.1")
    for path, command in commands(cli.cli):
        start = re.search(rf"^   {path}( .*)?$", text, re.MULTILINE)
        assert start is not None, path
        about = re.split(r"^   \S", text[start.end() :], flags=re.MULTILINE)[0]
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.opts[-1] in about, f"{path} {option.opts[-1]}"


def test_each_key_is_told() -> None:
    text = shown(MAN / "consul-kam.toml.5")
    page = (REPO / "docs" / "configuration.md").read_text(encoding="utf-8")
    keys = re.findall(r"^\| `([a-z_0-9]+)` \|", page, re.MULTILINE)
    assert len(keys) > 100
    for key in keys:
        assert re.search(rf"^       {key}\b", text, re.MULTILINE), key


@pytest.mark.parametrize("words", [".so /etc/passwd", "'br", "a\\b -- 'c' ^~", "`--x` \\fB"])
def test_no_words_are_taken_for_a_request(words: str) -> None:
    assert words.replace("`", "") in shown(f".TH A 1\n.SH NAME\n{man_pages.text(words)}\n")
