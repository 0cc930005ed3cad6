"""What README and docs say is there: links, paths, commands with their options, TOML. Generated pages: test_cli.py."""

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from bench.__main__ import BENCHES
from consul_kam import cli, config

REPO = Path(__file__).parents[2]
PAGES = sorted([*REPO.glob("*.md"), *(REPO / "docs").glob("*.md")])
EXAMPLE = REPO / "docs" / "add-a-dataset.md"
"""Speaks of files and keys that are only there in its own test."""

TOP = "consul_kam|templates|plugins|tests|tools|bench|docs|examples|ansible"
every = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code(page: Path) -> list[str]:
    """Each line of indented and fenced blocks, and each piece between backticks, without comments."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    (.*)$", prose(page), re.MULTILINE)
    lines = [*indented, *(line for block in fenced for line in block.splitlines())]
    return [re.split(r"\s#\s", line)[0].strip() for line in lines] + re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@every
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(place), f"{page.name} links to {target}"


@every
def test_paths_that_are_named_are_there(page: Path) -> None:
    for path in re.findall(rf"`((?:{TOP})/[\w./-]+)`", prose(page) if page != EXAMPLE else ""):
        assert (REPO / path).exists(), f"{page.name} names {path}"


@every
def test_commands_of_consul_kam_parse(page: Path) -> None:
    for line in code(page):
        words = line.split("|")[0].split("<")[0].split(">")[0].removesuffix("&").strip()
        if not re.match(r"consul-kam [a-z-]", words) or page == REPO / "docs" / "cli.md":
            continue
        if re.match(r"consul-kam \d|consul-kam X$", words):
            continue
        parsed(re.sub(r"\s{2,}\(.*", "", words))


def parsed(line: str) -> None:
    command: click.Command = cli.cli
    words = shlex.split(line)[1:]
    context = click.Context(command, info_name="consul-kam")
    while isinstance(command, click.Group):
        while words and words[0].startswith("-"):
            assert words[0] in {name for option in command.params for name in option.opts}, line
            words = words[2:]
        if not words:
            return
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"{line}: there is no {name}"
        command = found
    if words:
        command.make_context(line, words, parent=context)


@every
def test_verbs_of_dev_are_there(page: Path) -> None:
    usage = subprocess.run([REPO / "dev", "help"], capture_output=True, text=True, check=True, timeout=20).stdout
    known = {verb: line for line in usage.splitlines()[1:] if (verb := line[2:].split(" ")[0])}
    for line in code(page):
        words = line.split()
        if words[:1] != ["./dev"] or len(words) == 1:
            continue
        assert words[1] in known, f"{page.name}: {line}"
        options = [word for word in words[2:] if word.startswith("--")]
        assert all(option in known[words[1]] for option in options), f"{page.name}: {line}"
        if words[1] == "bench" and len(words) > 2:
            assert words[2] in {*BENCHES, "NAME", "[NAME]"}, f"{page.name}: {line}"


@every
def test_toml_is_a_configuration(page: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks if page != EXAMPLE else []:
        config.parse(block, page.name, {})


def test_every_page_can_be_reached_from_the_readme() -> None:
    links = set(re.findall(r"\]\((docs/[\w-]+\.md)", (REPO / "README.md").read_text(encoding="utf-8")))
    assert links == {f"docs/{page.name}" for page in (REPO / "docs").glob("*.md")}


def test_consul_templates_example_has_a_stanza_for_each_list() -> None:
    text = (REPO / "examples" / "consul-template.hcl").read_text(encoding="utf-8")
    for name in config.known_datasets():
        stanza = rf'template {{\n  source      = "/etc/consul_kam/templates/{name}\.ctmpl"\n.*staging/{name}"$'
        assert re.search(stanza, text, re.MULTILINE), name


def test_directories_that_are_named_are_there() -> None:
    for name in re.findall(r"`([a-z]+)/`", prose(REPO / "CONTRIBUTING.md")):
        assert any((place / name).is_dir() for place in (REPO, REPO / "tests")), f"CONTRIBUTING.md names {name}/"
