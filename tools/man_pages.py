"""consul-kam(1) and consul-kam.toml(5): roff from the same sources as docs/cli.md and docs/configuration.md."""

import re
from collections.abc import Iterator
from typing import Any

import click

NOTICE = '.\\" Written by tools/gen_docs.py (`./dev docs`): change consul_kam/cli or consul_kam/settings.\n'


def text(words: str) -> str:
    """Words as roff shows them; one line, which never is taken for a request."""
    plain = (
        words.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("^", "\\(ha").replace("~", "\\(ti")
    )
    plain = re.sub(r"`([^`]*)`", r"\\fB\1\\fR", plain)
    return "\\&" + plain if plain.startswith(".") else plain


def _link(markdown: str) -> str:
    """A link's words."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)


def _head(name: str, section: int, title: str, version: str) -> str:
    return f'{NOTICE}.TH "{name.upper()}" "{section}" "" "consul_kam {version}" "{title}"\n.nh\n.ad l\n'


def command_line(root: click.Group, version: str) -> str:
    """consul-kam(1)"""
    page = _head("consul-kam", 1, "consul_kam", version)
    about = (root.help or "").split("\n\n")
    page += ".SH NAME\nconsul\\-kam \\- from Consul to Kamailio\\(aqs memory, proven by reading back\n"
    page += ".SH SYNOPSIS\n.B consul\\-kam\n[\\fIOPTIONS\\fR] \\fICOMMAND\\fR [\\fIARGUMENTS\\fR]\n"
    page += f".SH DESCRIPTION\n{_paragraphs(about)}"
    page += ".SH OPTIONS\n" + "".join(_options(root, ("consul-kam",)))
    page += ".SH COMMANDS\n" + "".join(_commands(root, ()))
    page += (
        ".SH FILES\n.TP\n.I /etc/consul_kam/consul\\-kam.toml\nThe configuration, see\n.BR consul\\-kam.toml (5).\n"
        ".TP\n.I /var/lib/consul_kam\nThe state directory: staging, releases, journal, control socket.\n"
        ".SH SEE ALSO\n.BR consul\\-kam.toml (5),\n.BR kamailio (8)\n"
    )
    return page


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[str]:
    for name in sorted(group.commands):
        command, here = group.commands[name], (*path, name)
        if isinstance(command, click.Group):
            yield from _commands(command, here)
            continue
        context = click.Context(command, info_name=name)
        usage = " ".join(command.collect_usage_pieces(context)).removeprefix("[OPTIONS]").strip()
        yield f".SS {text(' '.join(here))}" + (f" {text(usage)}" if usage else "") + "\n"
        yield _paragraphs((command.help or "").split("\n\n"))
        yield from _options(command, here)


def _paragraphs(paragraphs: list[str]) -> str:
    """As click takes them: a paragraph after a line of \\b stands as it is."""
    page = ""
    for paragraph in paragraphs:
        lines = [line.strip() if "\b" not in paragraph else line for line in paragraph.strip("\n").splitlines()]
        if "\b" in paragraph:
            kept = "".join(f"{text(line) or '.sp'}\n" for line in lines if line.strip() != "\b")
            page += f".PP\n.nf\n{kept}.fi\n"
        else:
            page += ".PP\n" + "".join(f"{text(line)}\n" for line in lines)
    return page.removeprefix(".PP\n")


def _options(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=path[-1])
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            meaning = text(" ".join(record[1].split())) or "."
            yield f".TP\n.B {text(record[0])}\n{meaning}\n"


def configuration(tables: list[tuple[str, Any, str]], intro: str, rows: Any, version: str) -> str:
    """consul-kam.toml(5). `tables`: title, keys, note; `rows`: what tells a table's keys."""
    page = _head("consul-kam.toml", 5, "consul_kam", version)
    page += ".SH NAME\nconsul\\-kam.toml \\- configuration of consul\\-kam\n.SH DESCRIPTION\n"
    page += _paragraphs(_link(intro).strip().split("\n\n"))
    for title, table, note in tables:
        page += f".SH {text(title.replace('`', '').upper() if title == 'Top level' else title.replace('`', ''))}\n"
        page += f"{text(_link((table.__doc__ or '').strip() + note))}\n"
        for key, kind, default, meaning in rows(table):
            said = _link(meaning.replace("\\|", "|"))
            takes = _link(f"Value: {kind}. Default: {default}.".replace("\\|", "|"))
            page += f".TP\n.B {text(key)}\n{text(said)}\n.br\n{text(takes)}\n"
    return page + ".SH SEE ALSO\n.BR consul\\-kam (1)\n"
