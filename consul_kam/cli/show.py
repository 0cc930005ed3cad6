"""What people see. rich drops colours where nobody looks (a pipe, NO_COLOR) unless FORCE_COLOR is set."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from consul_kam.cli.common import safe

STYLES = {
    **dict.fromkeys(("PUBLISHED", "OBSERVED", "equal", "ok", "good", "RUNNING"), "green"),
    **dict.fromkeys(("HELD", "BUSY", "SUPERSEDED", "native", "unknown", "NONE", "DRIFT", "unprotected"), "yellow"),
    **dict.fromkeys(("STARTING", "STOPPING", "KILLING"), "yellow"),
    **dict.fromkeys(("BACKOFF", "FAILED", "STOPPED"), "red"),
    **dict.fromkeys(("REJECTED", "BLOCKED", "DEGRADED", "rejected", "differs", "absent", "unusable"), "red"),
}
PIPE_WIDTH = 1000
"""Columns where the output is no terminal: nothing is cut or wrapped that a script may look for."""


def console() -> Console:
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def word(text: object, style: str | None = None) -> Text:
    """Never markup and never control characters, wherever it comes from."""
    return Text(safe(text), style if style is not None else STYLES.get(str(text), ""))


def moment(epoch: object) -> str:
    """Local time; with the date where it is another day's."""
    if not isinstance(epoch, int | float) or not 0 < epoch < 1e11:
        return ""
    then, today = time.localtime(epoch), time.localtime()
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%Y-%m-%d %H:%M:%S", then)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    found = Table(*head, box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for row in rows:
        found.add_row(*(cell if isinstance(cell, Text) else word(cell) for cell in row))
    return found


def verdicts(reply: Mapping[str, Any]) -> None:
    rows = [(entry["dataset"], entry["verdict"], entry["release"], entry["detail"]) for entry in reply["verdicts"]]
    rows += [(name, "none yet", "", "") for name in reply["waiting"]]
    console().print(table(("dataset", "verdict", "release", "detail"), rows))


def difference(reply: Mapping[str, Any]) -> None:
    out = console()
    for entry in reply["datasets"]:
        name = entry["name"]
        if not entry["known"]:
            out.print(word(f"{name}: memory is not known: Kamailio has not been read yet, or is away", "yellow"))
            continue
        if entry.get("stale"):
            out.print(word(f"{name}: memory cannot be read now; at {moment(entry['read_at'])} it was so:", "yellow"))
        if entry["equal"]:
            out.print(word(f"{name}: memory is as it shall be", "green"))
        for line in entry["missing"]:
            out.print(word(f"{name}: + {line}", "green"))
        for key in entry["extra"]:
            out.print(word(f"{name}: - {key}", "red"))
        for changed in entry["changed"]:
            out.print(word(f"{name}: ~ {changed['wanted']}   (memory: {' '.join(changed['memory'])})", "yellow"))
        for group in entry["misordered"]:
            out.print(word(f"{name}: order of {group}", "yellow"))


def history(reply: Mapping[str, Any]) -> None:
    out = console()
    rows = [
        (
            moment(entry.get("at")),
            entry.get("dataset", ""),
            entry.get("verdict") or entry.get("event", ""),
            entry.get("digest") or entry.get("release", ""),
            entry.get("records", ""),
            counts(entry.get("counts")),
            entry.get("reason", ""),
        )
        for entry in reply["entries"]
    ]
    out.print(table(("when", "dataset", "verdict", "release", "records", "changes", "detail"), rows))
    for name, releases in (reply.get("releases") or {}).items():
        out.print(word(f"{name}: releases to roll back to: {', '.join(releases) or 'none'}"))


def counts(found: object) -> str:
    """Of a journal's entry; "" where it has none."""
    signs = {"added": "+", "removed": "-", "changed": "~"}
    told = found if isinstance(found, Mapping) else {}
    return " ".join(f"{sign}{told[kind]}" for kind, sign in signs.items() if told.get(kind))


def processes(reply: Mapping[str, Any]) -> None:
    """Of `ps`."""
    out = console()
    for wait in filter(None, (reply.get("waits_for") or "").split("; ")):
        out.print(word(f"not ready: {wait}", "yellow"))
    rows = [
        (
            entry["name"] + (" (adopted)" if entry["adopted"] else ""),
            entry["state"],
            entry["pid"] or "",
            span(time.time() - entry["since"]) if entry["pid"] else "",
            entry["restarts"],
            f"{entry['rss'] / 2**20:.1f} MB" if entry["rss"] is not None else "",
            f"{entry['cpu']:.1f} s" if entry["cpu"] is not None else "",
            entry["reason"],
        )
        for entry in reply["processes"]
    ]
    out.print(table(("program", "state", "pid", "for", "restarts", "RSS", "CPU", "last"), rows))
    if reply.get("probes"):
        out.print(table(("probe", "health", "level", "for", "took", "detail"), map(_probe_row, reply["probes"])))
    told = reply.get("registration") or {"state": "off"}
    if told["state"] != "off":
        trouble = f": {told['trouble']}" if told["trouble"] else ""
        where = f" with {told['node']}" if told["node"] else ""
        good = told["state"] == "registered" and not trouble
        out.print(word(f"{told['name']} {told['id']}: {told['state']}{where}{trouble}", "green" if good else "yellow"))


def _probe_row(probe: Mapping[str, Any]) -> Sequence[object]:
    health = {True: word("well", "green"), False: word("unwell", "red"), None: word("not known yet", "yellow")}
    return (
        probe["name"],
        health[probe["healthy"]],
        probe["level"],
        span(time.time() - probe["since"]),
        f"{probe['took_ms']:.1f} ms",
        probe["reason"],
    )


def span(seconds: float) -> str:
    """`3 d 4 h`, `5 min 6 s`: the two largest units."""
    whole = max(0, int(seconds))
    parts = ((whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2])


def checked(found: Sequence[Any], with_records: bool) -> None:
    """Of consul_kam.app.check.Checked: what would be dropped, then one line per file."""
    out = console()
    for each in found:
        if with_records and each.records:
            rows = [(r.group, r.line, r.use.value, r.source) for r in each.records]
            out.print(table(("set", "record", "use", "from"), rows))
        for problem in each.dropped:
            out.print(word(problem, "red"))
        if each.error:
            out.print(word(each.error, "red"))
        verdict = "unusable" if each.error else "bad" if each.dropped else "good"
        native = ", in Kamailio's format: not proof against injection" if each.native and with_records else ""
        text = (
            f"{each.file}: {each.dataset}: {verdict}: {len(each.records)} records, {len(each.dropped)} dropped{native}"
        )
        out.print(word(text, "green" if each.good else "red"))
