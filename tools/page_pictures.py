"""Pictures of the status page for docs/, by Chromium: wide and light, narrow and dark."""

import sys
import tempfile
from pathlib import Path

REPO = Path(__file__).parents[1]
sys.path.insert(0, str(REPO))

from consul_kam.app.page_html import page  # noqa: E402
from tests.lab.browser import picture  # noqa: E402
from tests.lab.page import full  # noqa: E402

FRAME = '<body style="margin:0"><iframe src="page.html" width="390" height="1400" style="border:0"></iframe>'


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        (place / "page.html").write_text(page(full()), encoding="utf-8")
        (place / "frame.html").write_text(FRAME, encoding="utf-8")
        dark = "--blink-settings=preferredColorScheme=0"
        picture(place / "profile", f"file://{place}/page.html", REPO / "docs" / "status-page.png", 1280, 1600)
        picture(place / "profile", f"file://{place}/frame.html", REPO / "docs" / "status-page-390.png", 390, 1400, dark)


if __name__ == "__main__":
    main()
