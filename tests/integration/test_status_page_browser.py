"""The status page in a real browser, under its own policy: nothing is complained of, it refreshes, it fits."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from consul_kam.adapters.http import Make
from consul_kam.app.loop import Loop
from consul_kam.app.page import html
from consul_kam.app.page_html import Shown, page
from consul_kam.app.page_style import POLICY
from consul_kam.app.status_http import StatusHttp
from consul_kam.core.vitals import Vitals
from tests.lab.browser import browse
from tests.lab.page import EVIL, full, hostile
from tests.lab.ports import free_port

PAGES = pytest.mark.parametrize("shown", [replace(full(), acts=True), hostile()], ids=["full", "hostile"])


class Node:
    """Serves a page; `asked`: how often, which each page says. `script`: whether its script may run."""

    def __init__(self, shown: Shown, script: bool) -> None:
        self.shown, self.asked, self._script = shown, 0, script
        self.listen = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.listen}/"
        self.loop = Loop()
        self.web = StatusHttp(self.loop, lambda lag: shown.vitals, self.listen, True, "node", self._page)

    def _page(self, vitals: Vitals) -> Make:
        self.asked += 1
        shown = replace(self.shown, vitals=replace(self.shown.vitals, reasons={"look": f"number {self.asked}"}))
        response = html(shown)
        if not self._script:
            policy = re.sub("script-src [^;]*", "script-src 'none'", POLICY)
            response = replace(response, headers=(("Content-Security-Policy", policy),))
        return lambda: response


@contextmanager
def served(shown: Shown, script: bool = True) -> Iterator[Node]:
    node = Node(shown, script)
    node.web.start(pytest.fail)
    thread = threading.Thread(target=lambda: node.loop.run(lambda: None))
    thread.start()
    try:
        yield node
    finally:
        node.loop.post(node.web.close)
        node.loop.post(node.loop.stop)
        thread.join()


@PAGES
def test_it_refreshes_by_itself_and_nothing_else_runs(tmp_path: Path, shown: Shown) -> None:
    with served(shown) as node:
        seen = browse(tmp_path, node.url, seconds=12)
        assert seen.complaints == []
        assert node.asked == 3
        assert "number 3" in seen.document
        assert re.search(r'<button id="auto" type="button">Pause refreshing</button>', seen.document)
        assert seen.document.count("<script") == 1
        assert "<img" not in seen.document


@PAGES
def test_without_javascript_all_is_there_but_the_button(tmp_path: Path, shown: Shown) -> None:
    with served(shown, script=False) as node:
        seen = browse(tmp_path, node.url, seconds=12)
        assert node.asked == 1
        assert len(seen.complaints) == 1, "of the script, which may not run: so its absence is seen"
        assert '<button id="auto" type="button" hidden=""></button>' in seen.document
        assert "number 1" in seen.document
        assert 'href="/">Refresh</a>' in seen.document


@pytest.mark.parametrize("width", [320, 390, 1280])
@PAGES
def test_nothing_hangs_over_the_side(tmp_path: Path, shown: Shown, width: int) -> None:
    (tmp_path / "page.html").write_bytes(page(shown).encode("utf-8", "replace"))
    (tmp_path / "frame.html").write_text(
        f'<title></title><iframe src="page.html" width="{width}" height="800" style="border:0"></iframe><script>'
        "onload = () => { const p = frames[0].document.documentElement;"
        ' document.title = p.scrollWidth + " of " + p.clientWidth; };</script>'
    )
    seen = browse(tmp_path / "profile", f"file://{tmp_path}/frame.html", "--allow-file-access-from-files", seconds=2)
    assert f"<title>{width} of {width}</title>" in seen.document
    assert EVIL[0] not in seen.document
