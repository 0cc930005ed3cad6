"""docs/doctor.md: what the traps say of themselves, set into the prose of doctor_page.md. gen_docs.py writes it."""

from pathlib import Path

from consul_kam.core.trap import ERROR, NOTE, WARNING, Trap
from consul_kam.traps import traps

PROSE = Path(__file__).with_suffix(".md")
ORDER = (ERROR, WARNING, NOTE)


def page(notice: str) -> str:
    """The whole page; `notice` says where it comes from."""
    rows = sorted(traps().values(), key=lambda trap: (ORDER.index(trap.severity), trap.name))
    text = PROSE.read_text(encoding="utf-8").replace("NOTICE\n", notice)
    return text.replace("ROWS\n", "".join(map(_row, rows))).replace("COUNT", str(len(rows)))


def _row(trap: Trap) -> str:
    cells = (f"`{trap.name}`", trap.severity, trap.doc, trap.mends, trap.source)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"
