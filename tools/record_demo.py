"""Writes docs/demo.svg, the README's picture: what a real `./dev demo --once` printed at its end.

python tools/record_demo.py        (about two minutes; exit 1 and no picture where the demo failed)
"""

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402

from examples.demo.__main__ import WIDTH, arguments, perform  # noqa: E402
from examples.demo.view import whole  # noqa: E402


def main() -> int:
    """The exit code."""
    result = perform(arguments(["--once", "--lines"]), Console(highlight=False, width=WIDTH))
    recorder = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    recorder.print(whole(result))
    if not result.ok:
        print(f"cannot record the demo: it failed\n{recorder.export_text()}", file=sys.stderr)
        return 1
    recorder.save_svg(str(ROOT / "docs" / "demo.svg"), title="./dev demo --once", unique_id="demo")
    return 0


if __name__ == "__main__":
    sys.exit(main())
