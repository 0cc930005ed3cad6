"""What people see of `status`."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.text import Text

from consul_kam.cli.show import STYLES, console, moment, span, table, word

LISTS = ("held", "waits", "out_of_order", "named", "dropped", "refused", "draining", "blocked")


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
