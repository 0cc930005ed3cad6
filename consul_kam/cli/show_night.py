"""What people see of `explain` and `doctor`."""

from collections.abc import Sequence
from typing import Any

from consul_kam.cli.show import console, moment, word

MARKS = {"ok": ("ok", "green"), "no": ("NO", "red"), "note": ("!", "yellow"), "unknown": ("?", "yellow")}


def explained(found: Sequence[Any]) -> None:
    """Of consul_kam.core.explain.Explained: a head line for each match, then one line a stage."""
    out = console()
    for index, each in enumerate(found):
        if index:
            out.print()
        name = " ".join(filter(None, (each.key, f"({each.source})" if each.source else "")))
        verdict = "in memory, gets calls" if each.callable else f"gets no calls; {each.why}"
        out.print(word(f"{each.dataset}: {name}: {verdict}", "bold green" if each.callable else "bold red"))
        width = max(len(stage.name) for stage in each.stages)
        for stage in each.stages:
            sign, style = MARKS[stage.mark]
            times = "".join(f", {before} {moment(at)}" for before, at in stage.times)
            out.print(word(f"  {sign:<2} {stage.name:<{width}}  {stage.text}{times}", style))


def _count(found: Sequence[Any], severity: str) -> int:
    return sum(each.severity == severity and not each.ignored for each in found)


SEVERITIES = {"error": "red", "warning": "yellow", "note": ""}


def examined(found: Sequence[Any]) -> None:
    """Of consul_kam.app.doctor.Found: three lines each, two of what is ignored, and how many there are."""
    out = console()
    for each in found:
        if each.ignored:
            out.print(word(f"ignored: {each.trap}: {each.sentence}"))
            out.print(word(f"    because: {each.ignored}"))
            continue
        out.print(word(f"{each.severity}: {each.trap}: {each.sentence}", SEVERITIES[each.severity]))
        out.print(word(f"    cure: {each.cure}"))
        if each.fixed:
            out.print(word(f"    {each.fixed}", "green" if each.fixed.startswith("done") else "red"))
    counts = [f"{count} {name}{'s' * (count != 1)}" for name in SEVERITIES if (count := _count(found, name))]
    if ignored := sum(bool(each.ignored) for each in found):
        counts.append(f"{ignored} ignored")
    out.print(word(", ".join(counts) or "no trap was found", "" if counts else "green"))
