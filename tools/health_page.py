"""docs/health.md: what the probes say of themselves, set into the prose of health_page.md. gen_docs.py writes it."""

from pathlib import Path

from consul_kam.core.health import RESTART, Probe
from consul_kam.probes import probes

PROSE = Path(__file__).with_suffix(".md")


def page(notice: str) -> str:
    """The whole page; `notice` says where it comes from."""
    rows = "\n".join(map(_row, probes().values()))
    return PROSE.read_text(encoding="utf-8").replace("NOTICE\n", notice).replace("ROWS\n", rows + "\n")


def _row(probe: Probe) -> str:
    period = probe.period_doc or f"{probe.period:g}"
    whom = f" {probe.target}" if probe.action == RESTART else ""
    figures = (period, f"{probe.timeout:g}", str(probe.rise), str(probe.fall))
    cells = (f"`{probe.name}`", probe.doc, probe.applies_doc, *figures, probe.level, probe.action + whom)
    return f"| {' | '.join(cells)} |"
