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
LISTS = ("held", "waits", "out_of_order", "named", "dropped", "refused", "draining", "blocked")


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


def status(reply: Mapping[str, Any], unprotected: Sequence[str]) -> None:
    out, kamailio = console(), reply["kamailio"]
    out.print(word(f"consul-kam {reply['version']}, pid {reply['pid']}, since {moment(reply['since'])}"))
    since = kamailio.get("up_since")
    up = ("up since " + since if since else "is up") if kamailio["reachable"] else "cannot be reached"
    out.print(word(f"Kamailio at {kamailio['rpc']} {up}", "" if kamailio["reachable"] else "red"))
    if kamailio.get("trouble"):
        out.print(word(f"  {kamailio['trouble']}", "red"))
    if order := (reply.get("order") or {}).get("datasets"):
        out.print(word(f"order: {', then '.join(order)}; one waits for another {reply['order']['wait']:g} s at most"))
    for line in _environment((reply.get("node") or {}).get("environment")):
        out.print(line)
    for line in _secrets((reply.get("node") or {}).get("secrets")):
        out.print(line)
    for line in _certificates((reply.get("node") or {}).get("certificates") or ()):
        out.print(line)
    head = ("dataset", "verdict", "since", "records", "consul", "staging", "live file", "memory", "phase")
    out.print(table(head, map(_status_row, reply["datasets"])))
    for entry in reply["datasets"]:
        # By its text: verdict, staging and memory often say the same, and Kamailio's absence stands above.
        notes = {str(line): line for line in _notes(entry, entry["name"] in unprotected)}
        notes.pop(str(word(f"{entry['name']}: {kamailio.get('trouble')}")), None)
        for line in notes.values():
            out.print(line)
    for entry in reply["datasets"]:
        if entry.get("next"):
            out.print(word(f"{entry['name']}: next: {entry['next']}", "bold"))


def _environment(told: Mapping[str, Any] | None) -> Iterable[Text]:
    """Of a node's status; nothing where [env] is off."""
    if told is None:
        return
    waits = told["restart"]
    if waits:
        within = told.get("restart_within")
        when = f" within {within:.0f} s" if within is not None else ""
        yield word(f"environment: restart needed{when}: {', '.join(waits)} changed since Kamailio's start", "yellow")
        yield word("environment: next: consul-kam restart --rolling", "bold")
    elif waits is None:
        yield word("environment: not known what Kamailio was started with; the include and cfg_rpc.so tell", "yellow")
    elif not told["missing"]:
        yield word(f"environment: {len(told['values'])} variables, as Consul's KV says")
    yield from (
        word(f"environment: {line}", "red" if line in told["missing"] else "yellow") for line in told["troubles"]
    )


def _certificates(told: Iterable[Mapping[str, Any]]) -> Iterable[Text]:
    for each in told:
        name, ends = f"certificate of {each['use']}", each["ends"]
        if ends is not None:
            until = f"ends in {span(ends - time.time())}" if ends > time.time() else f"ended at {moment(ends)}"
            near = ": less than a third of its life is left" if each["near"] else ""
            yield word(f"{name}: {until}, serial {each['serial']}{near}", "yellow" * bool(near))
        if each["trouble"]:
            yield word(f"{name}: {each['trouble']}", "red" if ends is None else "yellow")
        if each["restart"]:
            yield word(f"{name}: next: consul-kam restart --rolling", "bold")


def _secrets(told: Mapping[str, Any] | None) -> Iterable[Text]:
    """Of a node's status; nothing where there is no [vault]."""
    if told is None:
        return
    bad = [f"{each['name']} {each['state']}" for each in told["secrets"] if each["state"] not in ("good", "late")]
    ends = [each["expires_in"] for each in told["secrets"] if each["expires_in"] is not None]
    first = f"; the first lease ends in {min(ends):.0f} s" if ends else ""
    yield word(f"secrets: {len(told['secrets'])} from Vault at {told['vault']}{first}")
    if bad:
        yield word(f"secrets: {', '.join(bad)}", "red")
    yield from (word(f"secrets: {line}", "yellow") for line in told["troubles"])


def _status_row(entry: Mapping[str, Any]) -> Sequence[object]:
    states = [staging["state"] for staging in entry["staging"]]
    worst = next((state for state in ("rejected", "unprotected", "absent", "native") if state in states), "ok")
    return (
        entry["name"],
        entry["verdict"] or "NONE",
        moment(entry["at"]),
        entry["records"],
        (entry.get("consul") or {}).get("state", ""),
        worst,
        entry["live"]["state"],
        entry["memory"]["state"],
        entry["phase"],
    )


def _notes(entry: Mapping[str, Any], unprotected: bool) -> Iterable[Text]:
    name = entry["name"]
    if unprotected:
        yield word(f"{name}: unprotected: consul-template writes the live file itself, past every check", "yellow")
    for flag, text in (("paused", "paused"), ("observe", "only observed: nothing is written"), ("pinned", "pinned to")):
        if entry.get(flag):
            yield word(f"{name}: {text}" + (f" {entry[flag]}" if flag == "pinned" else ""), "yellow")
    for text in filter(None, (entry.get("reason"), entry["memory"].get("difference"))):
        yield word(f"{name}: {text}", "yellow")
    yield from _against_consul(name, entry.get("consul") or {}, [staging.get("error") for staging in entry["staging"]])
    for staging in entry["staging"]:
        if staging["state"] == "native":
            yield word(f"{name}: {staging['path']} is in Kamailio's format: not proof against injection", "yellow")
        if staging.get("error"):
            yield word(f"{name}: {staging['error']}", "red")
    for kind in LISTS:
        for item in entry.get(kind) or ():
            yield word(
                f"{name}: {kind.replace('_', ' ')}: {_item(item)}",
                "red" if kind in ("dropped", "refused", "blocked") else "yellow",
            )


def _against_consul(name: str, consul: Mapping[str, Any], said: Sequence[str]) -> Iterable[Text]:
    """`said`: what is wrong with the staging files themselves, and shown for itself."""
    reason = str(consul.get("reason") or "")
    for error in filter(None, said):
        reason = reason.replace(error, "").strip("; ")
    if reason:
        how = "staging differs" if consul["state"] == "differs" else "what Consul says is not known"
        yield word(f"{name}: {how}: {reason}", STYLES[consul["state"]])
    for kind, what in (("missing", "Consul, not staging"), ("extra", "staging, not Consul")):
        for record in consul.get(kind) or ():
            yield word(f"{name}: in {what}: {record}", "red")


def _item(item: Any) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    until = f", until {moment(item['until'])}" if item.get("until") else ""
    return f"{item['key']}: {item['why']}{until}"


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
