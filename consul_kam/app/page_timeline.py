"""The last changes as a time line: an SVG, and the same as a table. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from consul_kam.app.page_parts import BAD, DIM, GOOD, LONGEST_WORD, TONES, WARN, moment, section, table, text, word

SPANS = ((900, "15 minutes"), (3600, "hour"), (21_600, "6 hours"), (86_400, "24 hours"), (604_800, "7 days"))
DRAWN = 300
"""Marks at most."""
LISTED = 15
"""Rows of the table."""
ROW = 40
"""Pixels that one list takes."""
NODE = "node"
"""The row of what concerns no list."""
SIGNS = {"added": "+", "removed": "\u2212", "changed": "~"}
MARKS = f"""<defs>
<g id="mark-{GOOD}"><circle r="6"/></g>
<g id="mark-{WARN}"><path d="M0-7.5 7.5 0 0 7.5-7.5 0z"/></g>
<g id="mark-{BAD}"><path d="M-6-6H6V6H-6z"/><path class="cut" d="M-3-3 3 3M3-3-3 3"/></g>
<g id="mark-{DIM}"><path d="M-1.5-7H1.5V7H-1.5z"/></g>
</defs>"""
LEGEND = (
    (GOOD, "published"),
    (WARN, "held, waiting, superseded"),
    (BAD, "rejected or degraded"),
    (DIM, "a word or a note"),
)


def timeline(entries: Sequence[Mapping[str, Any]], names: Sequence[str], now: float) -> str:
    """`entries`: of the journal, oldest first; `names`: the lists, each of which has a row."""
    told = [entry for entry in entries if _at(entry) is not None]
    if not told:
        return section("changes", "Last changes", "<p>Nothing yet.</p>")
    seconds, title = _span(told, now)
    shown = [entry for entry in told if (_at(entry) or 0.0) >= now - seconds][-DRAWN:]
    rows = [*names, *([NODE] if any(_row(entry, names) == NODE for entry in shown) else [])]
    drawing = _drawing(shown, rows, seconds, now, title)
    legend = "".join(
        f'<li><svg class="key" viewBox="-9 -9 18 18" aria-hidden="true"><use href="#mark-{tone}" class="{tone}"/></svg>'
        f"{what}</li>"
        for tone, what in LEGEND
    )
    listed = table(
        "The newest first",
        ("When", "List", "What", "Records", "Changes", "Detail"),
        (_cells(entry, now) for entry in reversed(told[-LISTED:])),
    )
    return section("changes", "Last changes", f'{drawing}<ul class="legend">{legend}</ul>{listed}')


def _at(entry: Mapping[str, Any]) -> float | None:
    at = entry.get("at")
    return float(at) if isinstance(at, int | float) and 0 < at < 1e11 else None


def _row(entry: Mapping[str, Any], names: Sequence[str]) -> str:
    return str(entry["dataset"]) if entry.get("dataset") in names else NODE


def _span(told: Sequence[Mapping[str, Any]], now: float) -> tuple[int, str]:
    """The shortest that holds the last changes, which are those that somebody looks for."""
    age = now - min(_at(entry) or now for entry in told[-40:])
    return next(((seconds, title) for seconds, title in SPANS if age <= seconds), SPANS[-1])


def _what(entry: Mapping[str, Any]) -> str:
    return str(entry.get("verdict") or entry.get("event") or "")


def _tone(entry: Mapping[str, Any]) -> str:
    return TONES.get(str(entry.get("verdict")), DIM)


def _drawing(entries: Sequence[Mapping[str, Any]], rows: Sequence[str], seconds: float, now: float, title: str) -> str:
    height = ROW * len(rows) + 26
    lines = ""
    for index, name in enumerate(rows):
        y = ROW * index + 29
        label = text(name, LONGEST_WORD)
        lines += f'<line class="base" x1="0" x2="100%" y1="{y}" y2="{y}"/><text x="0" y="{y - 13}">{label}</text>'
    marks = "".join(_mark(entry, rows, seconds, now) for entry in entries)
    summary = f"{len(entries)} changes of {len(rows)} rows in the last {title}; the table below lists the newest."
    return (
        f'<div class="box"><svg class="line" width="100%" height="{height}" role="img"'
        ' aria-labelledby="line-title line-desc">'
        f'<title id="line-title">Changes in the last {title}</title><desc id="line-desc">{summary}</desc>'
        f"{MARKS}{_ticks(seconds, now, height)}{lines}{marks}</svg></div>"
    )


def _ticks(seconds: float, now: float, height: int) -> str:
    found = ""
    for part, anchor in ((0, "start"), (1, "middle"), (2, "middle"), (3, "end")):
        then = datetime.fromtimestamp(now - seconds * (1 - part / 3))
        label = then.strftime("%H:%M" if seconds <= 86_400 else "%d %b %H:%M")
        x = f"{100 * part / 3:.2f}%"
        found += f'<line class="tick" x1="{x}" x2="{x}" y1="8" y2="{height - 18}"/>'
        found += f'<text class="tick" x="{x}" y="{height - 4}" text-anchor="{anchor}">{label}</text>'
    return found


def _mark(entry: Mapping[str, Any], rows: Sequence[str], seconds: float, now: float) -> str:
    at = _at(entry) or now
    # 1.5 to 98.5 %: no mark is cut at an end.
    x = 98.5 - 97 * min(1.0, max(0.0, (now - at) / seconds))
    y = ROW * rows.index(_row(entry, rows)) + 29
    when = datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M:%S")
    detail = " ".join(filter(None, (when, _what(entry), _counts(entry), str(entry.get("reason") or ""))))
    tone = _tone(entry)
    return f'<use href="#mark-{tone}" class="{tone}" x="{x:.2f}%" y="{y}"><title>{text(detail)}</title></use>'


def _counts(entry: Mapping[str, Any]) -> str:
    counts = entry.get("counts")
    found = counts if isinstance(counts, Mapping) else {}
    return " ".join(f"{sign}{found[kind]}" for kind, sign in SIGNS.items() if found.get(kind))


def _cells(entry: Mapping[str, Any], now: float) -> Sequence[str]:
    held = entry.get("held")
    keys = f"held: {', '.join(map(str, held))}" if isinstance(held, Mapping) and held else ""
    dropped = entry.get("dropped")
    left_out = [str(each) for each in dropped] if isinstance(dropped, list) else []
    return (
        moment(entry.get("at"), now),
        text(entry.get("dataset") or NODE),
        word(_what(entry), _tone(entry)),
        text(entry.get("records", "")),
        text(_counts(entry)),
        text("; ".join(filter(None, (str(entry.get("reason") or ""), keys, *left_out)))),
    )
