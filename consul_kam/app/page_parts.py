"""The status page's small parts: text that stays text, tables, times. Pure; each returns HTML."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape

GOOD, WARN, BAD, DIM = "good", "warn", "bad", "dim"
TONES: Mapping[str, str] = {
    **dict.fromkeys(("PUBLISHED", "equal", "ok", "RUNNING", "registered", "well"), GOOD),
    **dict.fromkeys(("HELD", "BUSY", "BLOCKED", "SUPERSEDED", "DRIFT", "OBSERVED", "native", "unprotected"), WARN),
    **dict.fromkeys(("unknown", "STARTING", "STOPPING", "KILLING", "not known yet"), WARN),
    **dict.fromkeys(("ANNOUNCING", "REFUSING", "SETTLING", "DRAINED"), WARN),
    **dict.fromkeys(("REJECTED", "DEGRADED", "rejected", "absent", "differs", "unwell"), BAD),
    **dict.fromkeys(("BACKOFF", "FAILED", "STOPPED"), BAD),
}
OF_A_LIST = {"approve": "let go what is held", "pause": "pause", "resume": "resume"}
"""Words about one list that the page's form has, and how they are called."""
OF_THE_NODE = {"drain": "drain this node", "undrain": "undrain this node"}
LONGEST, LONGEST_WORD = 400, 60
"""Characters of one text, of one word: names from Consul may be long."""


def text(value: object, longest: int = LONGEST) -> str:
    """Never markup, and nothing that steers: no control characters, none that turn the direction of what follows."""
    plain = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(value)[: longest + 1])
    return escape(plain if len(plain) <= longest else plain[:longest] + "…")


def word(value: str, tone: str | None = None) -> str:
    """One word with its colour; the word itself says it, too."""
    return f'<span class="word {TONES.get(value, DIM) if tone is None else tone}">{text(value, LONGEST_WORD)}</span>'


def moment(at: object, now: float) -> str:
    """The node's local time, with the date where it is another day's; "" where there is none."""
    if not isinstance(at, int | float) or not 0 < at < 1e11:
        return ""
    then, today = datetime.fromtimestamp(at).astimezone(), datetime.fromtimestamp(now).astimezone()
    form = "%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S"
    return f'<time datetime="{then.isoformat(timespec="seconds")}">{then.strftime(form)}</time>'


def span(seconds: float) -> str:
    """`3 d 4 h`, `5 min 6 s`: the two largest units."""
    whole = max(0, int(seconds))
    parts = ((whole // 86_400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s"))
    first = next((index for index, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count or unit == "s")


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows`: HTML already. The roles are said although a table has them: on a narrow screen CSS makes it blocks."""
    head = "".join(f'<th role="columnheader" scope="col">{text(each)}</th>' for each in heads)
    body = "".join(f'<tr role="row">{_cells(heads, row)}</tr>' for row in rows)
    return (
        f'<table role="table"><caption>{text(caption)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _cells(heads: Sequence[str], row: Sequence[str]) -> str:
    pairs = zip(heads, row, strict=True)
    return "".join(
        f'<td role="cell" data-head="{text(head)}"{"" if cell else " class=none"}><div>{cell}</div></td>'
        for head, cell in pairs
    )


def section(name: str, title: str, content: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{text(title)}</h2>{content}</section>'
