"""What the status page's form may do, and for whom."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from consul_kam.adapters.control import Reply
from consul_kam.adapters.http import Make
from consul_kam.app.page_acts import Acts
from consul_kam.errors import ConfigError

TOKEN = "c0ffee-c0ffee-c0ffee"
HERE = "127.0.0.1:9160"


class Node:
    """`asked`: words that came through; `reply`: what is said to each."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "token"
        self.file.write_text(f"{TOKEN}\n")
        self.file.chmod(0o600)
        self.asked: list[dict[str, object]] = []
        self.reply: Mapping[str, object] = {"ok": True}

    def _do(self, request: dict[str, object], reply: Reply) -> None:
        self.asked.append(request)
        reply(self.reply)

    def acts(self, listen: str = HERE) -> Acts:
        return Acts(str(self.file), listen, self._do)

    def says(self, **form: str) -> tuple[int, str]:
        made: list[Make] = []
        self.acts().take(form, made.append)
        (make,) = made
        response = make()
        assert response.content_type.startswith("text/plain")
        return response.status, response.body.decode() or dict(response.headers)["Location"]


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


@pytest.mark.parametrize(
    ("do", "asked"),
    [
        ("approve dispatcher", {"do": "approve", "dataset": "dispatcher"}),
        ("pause htable:a", {"do": "pause", "dataset": "htable:a"}),
        ("resume address", {"do": "resume", "dataset": "address"}),
        ("drain", {"do": "drain", "reason": "drained on the status page"}),
        ("undrain", {"do": "undrain"}),
    ],
)
def test_who_knows_the_token_may_say_these_words(node: Node, do: str, asked: dict[str, object]) -> None:
    assert node.says(token=TOKEN, do=do) == (303, "/")
    assert node.asked == [asked]


@pytest.mark.parametrize("token", ["", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "ü" * 20])
def test_nobody_else(node: Node, token: str) -> None:
    assert node.says(token=token, do="drain") == (403, "cannot do that: this is not the token\n")
    assert node.says(do="drain")[0] == 403
    assert node.asked == []


@pytest.mark.parametrize("do", ["", "stop", "rollback dispatcher", "approve", "drain dispatcher", "restart kamailio"])
def test_no_other_words(node: Node, do: str) -> None:
    assert node.says(token=TOKEN, do=do) == (400, "cannot do that: expected a word that the page has\n")
    assert node.asked == []


def test_what_cannot_be_done_is_said(node: Node) -> None:
    node.reply = {"ok": False, "error": "cannot drain: there is no other sbc"}
    assert node.says(token=TOKEN, do="drain") == (409, "cannot drain: there is no other sbc\n")


@pytest.mark.parametrize("token", ["short", "", "two words are no token, at all", "x" * 2000])
def test_a_token_has_to_be_one(node: Node, token: str) -> None:
    node.file.write_text(token)
    with pytest.raises(ConfigError, match=r"^cannot use http\.token_file "):
        node.acts()


def test_a_token_that_others_read_is_none(node: Node) -> None:
    node.file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        node.acts()
    node.file.unlink()
    with pytest.raises(ConfigError, match=r"^cannot read http\.token_file "):
        node.acts()


def test_no_token_passes_a_network(node: Node) -> None:
    assert node.acts("[::1]:9160")
    with pytest.raises(ConfigError, match="whoever is on the way reads the token"):
        node.acts("0.0.0.0:9160")
    with pytest.raises(ConfigError, match="cannot listen at here"):
        node.acts("here")


def test_the_token_is_the_one_of_the_moment(tmp_path: Path, node: Node) -> None:
    acts = node.acts()

    def status(token: str) -> int:
        made: list[Make] = []
        acts.take({"token": token, "do": "drain"}, made.append)
        return made[0]().status

    assert status(TOKEN) == 303
    node.file.write_text(f"another-{TOKEN}")
    assert (status(TOKEN), status(f"another-{TOKEN}")) == (403, 303)
    node.file.unlink()
    assert status(TOKEN) == 403
    node.file.write_text("")
    assert status("") == 403, "an empty file opens nothing"


def test_a_token_of_vaults_need_not_be_there_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        Acts(str(tmp_path / "none"), HERE, lambda *_: None)
    assert Acts(str(tmp_path / "none"), HERE, lambda *_: None, later=True)
