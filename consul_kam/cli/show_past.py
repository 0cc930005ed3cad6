"""What people see of what was."""

from collections.abc import Mapping
from typing import Any

from consul_kam.cli.common import safe
from consul_kam.cli.show import console, counts, moment, table, word


def between(found: Mapping[str, Any]) -> None:
    """Of two releases, as `diff A B` has it."""
    out, name = console(), found["dataset"]
    first, second = (f"{found[each]['release']} of {moment(found[each]['at'])}" for each in ("a", "b"))
    if found["equal"]:
        out.print(word(f"{name}: {first} and {second} hold the same", "green"))
        return
    out.print(word(f"{name}: from {first} to {second}"))
    for line in found["removed"]:
        out.print(word(f"{name}: - {line}", "red"))
    for line in found["added"]:
        out.print(word(f"{name}: + {line}", "green"))
    for each in found["changed"]:
        out.print(word(f"{name}: ~ {each['after']}   (before: {each['before']})", "yellow"))
    if found["reordered"]:
        out.print(word(f"{name}: in another order", "yellow"))


def line(entry: Mapping[str, Any]) -> str:
    """An entry of the journal on one line."""
    held = entry.get("held")
    parts = (
        moment(entry.get("at")),
        entry.get("dataset"),
        entry.get("verdict") or entry.get("event"),
        entry.get("digest") or entry.get("release"),
        f"{entry['records']} records" if entry.get("records") is not None else "",
        counts(entry.get("counts")),
        entry.get("reason"),
        "held: " + ", ".join(f"{key} ({why})" for key, why in held.items()) if isinstance(held, dict) and held else "",
    )
    return safe("  ".join(str(part) for part in parts if part))


def replayed(found: Mapping[str, Any]) -> None:
    """Of `replay`."""
    out, began = console(), found["began"] or 0.0
    rows = [
        (
            f"+{entry['at'] - began:.1f} s",
            moment(entry["at"]),
            entry["dataset"],
            entry.get("verdict") or entry["event"],
            entry.get("records", ""),
            counts(entry.get("counts")),
            entry.get("reason") or "; ".join(entry.get("dropped") or ()),
        )
        for entry in found["entries"]
    ]
    out.print(table(("after", "when", "dataset", "verdict", "records", "changes", "detail"), rows))
    for hold in found["holds"]:
        ended = f"until +{hold['until'] - began:.1f} s" if hold["until"] is not None else "no end in sight"
        how = f" ({hold['end']})" if hold["end"] else ", still held"
        text = f"{hold['dataset']}: held from +{hold['since'] - began:.1f} s {ended}{how}: {hold['key']}: {hold['why']}"
        out.print(word(text, "yellow"))
    for name, lines in found["final"].items():
        out.print(word(f"{name}: in the end {len(lines)} records"))
