"""The status page: all that there is to be told is told, names stay text, and nothing runs or loads but its own."""

import base64
import hashlib
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from consul_kam.app.page import html
from consul_kam.app.page_html import Shown, page
from consul_kam.app.page_parts import LONGEST
from consul_kam.app.page_style import POLICY, SCRIPT, STYLE
from tests.lab.page import EVIL, NOW, a_list, change, drain, full, hostile, vitals

TAGS = {
    "html", "head", "meta", "link", "title", "style", "body", "a", "header", "div", "h1", "h2", "h3", "p", "span", "ul",
    "li", "b", "main", "section", "article", "ol", "small", "details", "summary", "table", "caption", "thead", "tbody",
    "tr", "th", "td", "time", "code", "svg", "defs", "g", "circle", "path", "line", "text", "desc", "use", "footer",
    "button", "script", "form", "label", "select", "option", "input",
}  # fmt: skip
VOID = {"meta", "link", "input"}
ATTRIBUTES = {
    "lang", "charset", "name", "content", "rel", "href", "class", "id", "role", "aria-labelledby", "aria-hidden",
    "datetime", "data-head", "scope", "open", "type", "hidden", "width", "height", "viewbox", "r", "d", "x", "y", "x1",
    "x2", "y1", "y2", "text-anchor", "method", "action", "value", "autocomplete", "required",
}  # fmt: skip


class Read(HTMLParser):
    """What a browser makes of it."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.hrefs: list[str] = []
        self.words = ""
        self.feed(document)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        self.tags[tag] += 1
        for name, value in attrs:
            assert name in ATTRIBUTES, name
            self.ids += [str(value)] if name == "id" else []
            self.labels += str(value).split() if name == "aria-labelledby" else []
            self.hrefs += [str(value)] if name == "href" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words += data + "\n"


def shown(what: Shown) -> Read:
    found = Read(page(what))
    assert found.open == []
    return found


def test_all_is_told() -> None:
    words = shown(full()).words
    for expected in (
        "sbc-1.example", "not ready", "memory differs: 1 missing", "Kamailio answers", "1 sip:10.0.0.1:5060",
        "set 1 fell from 12 to 4 within 10 min", "cannot use dispatcher:3:0", "draining", "consul-kam approve",
        "cannot use domain: its last line is missing", "pinned to 000041-aa", "in Consul, not in staging: example.com",
        "host cannot be loaded", "gw.example.invalid", "not asked yet", "DEGRADED", "rollback", "Kamailio is up again",
        "200 MB", "sip_options: no answer", "unwell", "not known yet", "registered",
    ):  # fmt: skip
        assert expected in words, expected


def test_where_lists_agree_is_told_stage_by_stage() -> None:
    lists = [a_list("domain", live={"path": "", "state": "absent"}, memory={"state": "unknown", "difference": ""})]
    words = shown(Shown(NOW, vitals(), lists=lists)).words.split("\n")
    places = [words.index(stage) for stage in ("Consul", "Staging", "Live file", "Memory")]
    said = [next(word for word in words[place + 1 :] if word.strip()) for place in places]
    assert said == ["agrees", "read", "absent", "not known"]


def test_a_node_with_nothing_at_all() -> None:
    words = shown(Shown(NOW, vitals(reasons={}, kamailio=None, processes=(), node=""))).words
    assert "ready" in words
    assert "not ready" not in words
    assert "No list is kept here." in words
    assert "Nothing yet." in words


@pytest.mark.parametrize(
    ("told", "said", "unsaid"),
    [
        (drain("REFUSING"), ("REFUSING", "7", "1 min 1 s", "new kernel", "Deadline"), ("not known",)),
        (drain("REFUSING", calls=0), ("0",), ("not known",)),
        (drain("REFUSING", calls=None), ("not known",), ()),
        (drain("SETTLING", blind="it has forgotten calls"), ("not known", "it has forgotten calls"), ("7",)),
        (drain("DRAINED", how="no call is left", trouble="disk full"), ("DRAINED", "no call is left; disk full"), ()),
    ],
)
def test_a_drain_is_told_while_there_is_one(told: dict[str, object], said: list[str], unsaid: list[str]) -> None:
    words = shown(Shown(NOW, vitals(), node={"drain": told})).words.split("\n")
    assert "Drain" in words
    assert set(said) <= set(words)
    assert not set(unsaid) & set(words)


@pytest.mark.parametrize("node", [{}, {"drain": None}, {"drain": {"phase": "NONE"}}])
def test_who_does_not_drain_has_no_word_of_it(node: dict[str, object]) -> None:
    assert "Drain" not in shown(Shown(NOW, vitals(), node=node)).words.split("\n")


def test_there_is_a_form_only_where_somebody_may_act() -> None:
    assert shown(full()).tags["form"] == 0
    assert "Read only." in shown(full()).words
    may = replace(full(), acts=True)
    found = shown(may)
    assert (found.tags["form"], found.tags["input"], found.tags["select"]) == (1, 1, 1)
    assert "Read only." not in found.words
    assert "domain: let go what is held" in found.words
    assert "drain this node" in found.words
    nobody = replace(may, vitals=replace(may.vitals, role=""))
    assert "drain this node" not in shown(nobody).words
    assert page(may).index("</main>") < page(may).index("<form"), "not made anew while somebody types"


def test_a_form_is_sent_to_us_or_not_at_all() -> None:
    policies = [dict(html(replace(full(), acts=acts)).headers)["Content-Security-Policy"] for acts in (False, True)]
    assert policies[0] == POLICY
    assert "form-action 'none'" in policies[0]
    assert policies[1] == POLICY.replace("form-action 'none'", "form-action 'self'")


def test_hostile_names_stay_text() -> None:
    document = page(hostile())
    found = Read(document)
    assert found.open == []
    assert (found.tags["script"], found.tags["style"], found.tags["link"]) == (1, 1, 1)
    assert set(found.hrefs) <= {"data:,", "#main", "/", "/readyz", "/livez", "/metrics"} | {
        f"#mark-{tone}" for tone in ("good", "warn", "bad", "dim")
    }
    assert all(char.isprintable() or char == "\n" for char in document)
    for evil in EVIL[:4]:
        assert evil in found.words
        assert evil not in document
    assert "x" * (LONGEST + 1) not in document


def test_what_is_labelled_is_there_and_once() -> None:
    found = shown(full())
    assert len(set(found.ids)) == len(found.ids)
    assert set(found.labels) <= set(found.ids)
    assert found.tags["h1"] == 1


def test_the_policy_lets_nothing_run_but_the_page_itself() -> None:
    response = html(full())
    headers = dict(response.headers)
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in POLICY
    body = response.body.decode()
    for tag, kind in (("style", "style-src"), ("script", "script-src")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", body, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert policy[kind] == f"'sha256-{digest}'"
    assert " style=" not in body
    assert "http" not in STYLE + SCRIPT


def test_bytes_that_are_no_text_are_none_in_the_end() -> None:
    assert html(hostile()).body.decode("utf-8")


@pytest.mark.parametrize(
    ("ago", "title"), [(100, "15 minutes"), (2000, "hour"), (20_000, "6 hours"), (80_000, "24 hours"), (9e6, "7 days")]
)
def test_the_time_line_is_as_long_as_the_last_changes(ago: float, title: str) -> None:
    entries = [change(ago, "domain", "PUBLISHED"), change(1, "domain", "HELD")]
    document = page(Shown(NOW, vitals(), lists=[a_list("domain")], entries=entries))
    assert f"Changes in the last {title}<" in document
    places = [float(place) for place in re.findall(r'<use href="#mark-\w+" class="\w+" x="([\d.]+)%"', document)]
    assert len(places) == (2 if ago < 604_800 else 1)
    assert places == sorted(places)
    assert all(1.5 <= place <= 98.5 for place in places)
