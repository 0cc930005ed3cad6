"""Writes the generated pages of docs/ from the code; `--check` writes nothing and exits 1 where one is stale."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import doctor_page
import flow_svg
import health_page
import man_pages
import metrics_page

REPO = Path(__file__).parents[1]
sys.path.insert(0, str(REPO))

from consul_kam import __version__, cli, settings  # noqa: E402
from consul_kam.core import drain, supervise  # noqa: E402
from consul_kam.core.dataset import Dataset  # noqa: E402
from consul_kam.core.events import Phase  # noqa: E402
from consul_kam.core.release import TABLE  # noqa: E402
from consul_kam.core.service import Stage  # noqa: E402
from consul_kam.core.state import GOES  # noqa: E402
from consul_kam.datasets import datasets  # noqa: E402

NOTICE = "<!-- Written by tools/gen_docs.py (`./dev docs`) from {}: change it there. -->\n"


SHAPES = """
With `--json` each command that asks the engine prints the engine's reply as it is; the control socket
(`state_dir/control.sock`) gives the same: one JSON object on a line in, one out. Times are seconds since 1970; members
may be added.

| request | reply, beside `"ok": true` |
|---|---|
| `{"do":"status","consul":true or false}` | `version pid since detached`, \
`kamailio: {rpc reachable up_since trouble}`, `order: {datasets wait}`, `datasets: [...]` |
| ... each dataset | `name phase verdict reason at digest records paused observe pinned next`, \
`staging: [{path digest state error at consul}]`, `consul: {state at reason missing extra}` or null, \
`live: {path state}`, `memory: {state difference records}`, \
`held: [{key why until}]`, `waits: [{key why until}]`, `out_of_order: [{key why}]`, `named: [{key why}]`, \
lists of text: `dropped refused draining blocked`, `states: {key: FLAGS}`, `unverifiable: {name: reason}` |
| `{"do":"apply","wait":2.0}` | `verdicts: [{dataset verdict release detail}]`, `waiting: [dataset]` |
| `{"do":"diff","dataset":NAME or null}` | `datasets: [{name known read_at stale equal missing extra \
changed misordered}]` |
| ... node.environment, null where `[env]` is off | `decided digest running missing troubles`, `restart`: names that \
wait for one, null where not known, `values: {NAME: {value source change}}`; secrets are hidden |
| ... node.secrets, null where there is no `[vault]` | `vault method reachable logged_in login_expires_in directory \
on_expiry troubles`, `secrets: [{name kind state generation version serial age expires_in before_expires_in renewals \
failures trouble}]`; no values |
| ... node.certificates, one for each use: `consul`, `http`, `kamailio` | `[{use file serial fingerprint begins ends \
near trouble restart}]`; `ends` null where none is in use, `near`: in the last third of its life, `restart`: the new \
one waits for a restart of Kamailio |
| `{"do":"history","dataset":NAME or null,"limit":20}` | `entries`: lines of the journal, oldest first; \
`releases: {dataset: [name]}` |
| `{"do":"drain","reason":TEXT or null,"lasts":SECONDS or null,"force":false}` | `drain`, as below, once it is \
written down |
| `{"do":"draining"}` | `drain: {phase reason by began since deadline announced quiet quiet_for calls accepted \
transactions blind trouble how clean}`, `registration`, `unwell` |
| `{"do":"undrain"}` | `was trouble` |
| `{"do":"rollback","dataset":NAME,"release":NAME or null}` | `dataset release` |
| `{"do":"explain","what":WORD,"also":TEXT}` | `datasets: [...]`, `subjects: [...]`: Listed and \
Subject of `consul_kam/core/known.py`; the command adds what Consul says. TEXT: who is meant too, \
JSON of `[[service, id, node]]` |
| `{"do":"approve" or "pause" or "resume","dataset":NAME or null}` | `datasets: [name]` |

A refusal is `{"ok": false, "error": "cannot ..."}`: on the command line that line on standard error, and exit code 1.
Staging is `ok`, `native` (Kamailio's own format: not proof against injection), `unprotected` (it is the live file
itself), `rejected` or `absent`; a live file `equal`, `differs` or `absent`; memory `equal`, `differs` or `unknown`.
`consul` says the same of staging against Consul, null where that was not asked for: it costs a run of consul-template.
Verdicts: PUBLISHED, HELD (published with held records), REJECTED, BLOCKED (a known name does not resolve), BUSY (waits
for a window or for Kamailio), DEGRADED, SUPERSEDED, DRIFT, OBSERVED, NONE.

`check --json` and `render --json` print `files: [{file dataset good native error records dropped}]` and `unprotected`.
"""


def configuration() -> str:
    """docs/configuration.md"""
    head = f"# Configuration\n{NOTICE.format('consul_kam/settings/ and consul_kam/datasets/')}\n{CONFIGURATION}"
    return head + "".join(_table(*each) for each in tables())


CONFIGURATION = """\
TOML, in `/etc/consul_kam/consul-kam.toml`, `consul-kam --config FILE` or `$CONSUL_KAM_CONFIG`; every key is optional
and no file at all is fine. [examples/consul-kam.toml](../examples/consul-kam.toml) holds every key with its default.
Durations are numbers of seconds, paths are absolute. `consul-kam config show` prints what is in force. An unknown key
or a bad value is an error that names file, key, what is expected and what was found (exit code 2).

`$CONSUL_KAM_STATE_DIR` wins over the file, the file over Consul's variables, those over the defaults.
"""


def tables() -> list[tuple[str, Any, str]]:
    """Title, keys and a note of each table of the configuration, in their order."""
    before = [("Top level", settings.File)]
    before += [
        (f"`[{name}]`", table)
        for name, table in (
            ("node", settings.Node),
            ("consul", settings.Consul),
            ("consul_template", settings.ConsulTemplate),
            ("kamailio", settings.Kamailio),
            ("kamailio.tls", settings.Tls),
            ("rtpengine", settings.Rtpengine),
            ("registration", settings.Registration),
            ("drain", settings.Drain),
            ("supervise", settings.Supervise),
            ("env", settings.Env),
            ("env.vars.NAME", settings.Var),
            ("vault", settings.Vault),
            ("vault.auth", settings.Auth),
            ("vault.secrets.NAME", settings.Secret),
            ("probes.NAME", settings.Probe),
            ("http", settings.Http),
            ("datasets.NAME", settings.Dataset),
        )
    ]
    after = [("`[alert]`", settings.Alert), ("`[doctor]`", settings.Doctor), ("`[log]`", settings.Log)]
    plain = [[(title, table, "") for title, table in each] for each in (before, after)]
    return [*plain[0], *map(_sets, datasets().values()), *plain[1]]


def _sets(dataset: Dataset) -> tuple[str, Any, str]:
    """The keys of one dataset's sets, and what its file is."""
    usual = f", by default `{dataset.usual_file}`" if dataset.usual_file else ""
    note = f" Its `file` is {dataset.file_doc}{usual}."
    if dataset.first_set:
        first = ", ".join(f"`{key} = {json.dumps(value)}`" for key, value in dataset.first_set.items())
        note += f" Without any set, there is one: {first}."
    table = settings.set_table(dataset.name, dataset.set_doc, dataset.set_keys)
    return f"`[[datasets.{dataset.name}.sets]]`", table, note


def _table(title: str, table: Any, note: str) -> str:
    rows = "".join(f"| `{key}` | {kind} | {default} | {text} |\n" for key, kind, default, text in documented(table))
    return f"\n## {title}\n{table.__doc__}{note}\n\n| key | value | default | meaning |\n|---|---|---|---|\n{rows}"


def documented(table: Any) -> Iterator[tuple[str, str, str, str]]:
    """(key, what it takes, default, meaning) of each key that is no table itself."""
    for key, schema in settings.schema_at(table, [])["properties"].items():
        if "description" in schema:
            default = schema.get("x-default") or (
                f"`{json.dumps(schema['default'])}`" if "default" in schema else "needed"
            )
            kind = settings.describe(schema).replace("|", "\\|")
            yield key, kind, default, schema["description"].replace("|", "\\|")


def command_line() -> str:
    """docs/cli.md"""
    head = f"# Command line\n{NOTICE.format('consul_kam/cli')}"
    return head + SHAPES + "".join(_help(cli.cli, ("consul-kam",)))


def _help(command: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    context = click.Context(command, info_name=" ".join(path), terminal_width=100, max_content_width=100)
    yield f"\n## {' '.join(path)}\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _help(command.commands[name], (*path, name))


def machine(title: str, source: str, text: str, table: Any, goes: Any, states: Any) -> str:
    """A page about a machine that is a table of (state, event) -> handler."""
    labels: dict[tuple[str, str], list[str]] = {}
    rows = ""
    for state, row in table.items():
        for event, handler in row.items():
            targets = sorted(goes[handler.__name__], key=list(states).index)
            names = ", ".join(target.value for target in targets) or "stays"
            rows += f"| {state.value} | {event.__name__} | `{handler.__name__}` | {names} |\n"
            for target in targets:
                labels.setdefault((state.value, target.value), []).append(event.__name__)
    arrows = "".join(f"    {start} --> {end}: {', '.join(names)}\n" for (start, end), names in labels.items())
    return f"""# {title}
{NOTICE.format(source)}
{text}

```mermaid
stateDiagram-v2
    [*] --> {next(iter(states)).value}
{arrows}```

| {states.__name__.lower()} | event | handler | may lead to |
|---|---|---|---|
{rows}"""


def state_machine() -> str:
    """docs/state-machine.md"""
    text = (
        "One for each dataset. Events that leave the phase as it is are only in the table. What is not in the table "
        "is a defect\nand raises."
    )
    return machine("The release machine", "consul_kam/core/release.py", text, TABLE, GOES, Phase)


def supervision() -> str:
    """docs/supervision.md"""
    text = """One for each program that `run` started: consul-template, and Kamailio where `[kamailio] mode` is `spawn`.
Events that leave the stage as it is are only in the table. What is not in the table is a defect and raises."""
    return machine("Supervision", "consul_kam/core/supervise.py", text, supervise.TABLE, supervise.GOES, Stage)


def draining() -> str:
    """docs/draining.md"""
    text = """How far a node is that [leaves](drain.md). Events that leave the phase as it is are only in the
table. Looked: one look, each half second, at Consul's word and at the calls; Asked: `drain`, or the end of `run`;
Undone: `undrain`."""
    return machine("Draining", "consul_kam/core/drain.py", text, drain.TABLE, drain.GOES, drain.Phase)


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "cli.md": command_line,
    "state-machine.md": state_machine,
    "supervision.md": supervision,
    "draining.md": draining,
    "metrics.md": lambda: metrics_page.page(NOTICE.format("consul_kam/core/metrics.py and tools/metrics_page.py")),
    "health.md": lambda: health_page.page(NOTICE.format("consul_kam/probes/ and tools/health_page.md")),
    "doctor.md": lambda: doctor_page.page(NOTICE.format("consul_kam/traps/ and tools/doctor_page.md")),
    "flow.svg": flow_svg.svg,
    "man/consul-kam.1": lambda: man_pages.command_line(cli.cli, __version__),
    "man/consul-kam.toml.5": lambda: man_pages.configuration(tables(), CONFIGURATION, documented, __version__),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a page is stale")
    checking = parser.parse_args(arguments).check
    stale = []
    for name, make in PAGES.items():
        path, text = REPO / "docs" / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path.relative_to(REPO)))
            if not checking:
                path.parent.mkdir(exist_ok=True)
                path.write_text(text, encoding="utf-8")
    if stale:
        print(
            f"cannot leave {', '.join(stale)} as they are: run `./dev docs`"
            if checking
            else f"wrote {', '.join(stale)}"
        )
    return 1 if stale and checking else 0


if __name__ == "__main__":
    sys.exit(main())
