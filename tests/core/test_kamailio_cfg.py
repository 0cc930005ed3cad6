"""Kamailio's configuration as one text, and what it complains of in one line."""

import pytest

from consul_kam.core.kamailio_cfg import complaint, whole


def test_what_is_included_stands_in_its_place() -> None:
    files = {
        "/e/k.cfg": 'a\ninclude_file "sub/one.cfg"\nb\n',
        "/e/sub/one.cfg": '#!import_file "two.cfg"\nc',
        "/e/sub/two.cfg": '!!include_file "/abs.cfg"',
        "/abs.cfg": "d",
    }
    found = whole("/e/k.cfg", files.get)
    assert found.text == "a\nd\nc\nb\n"
    assert found.files == ("/e/k.cfg", "/e/sub/one.cfg", "/e/sub/two.cfg", "/abs.cfg")
    assert found.missing == ()


def test_a_path_is_tried_as_it_is_first() -> None:
    files = {"/e/k.cfg": 'include_file "x.cfg"', "x.cfg": "here", "/e/x.cfg": "beside"}
    assert whole("/e/k.cfg", files.get).text == "here"


def test_what_is_missing_is_named_unless_it_may_be() -> None:
    found = whole("/e/k.cfg", {"/e/k.cfg": 'include_file "no.cfg"\nimport_file "may.cfg"\na'}.get)
    assert (found.text, found.missing) == ('include_file "no.cfg"\na', ("/e/no.cfg",))
    assert whole("/e/none.cfg", {}.get).missing == ("/e/none.cfg",)


def test_what_a_comment_includes_is_not() -> None:
    text = '/* a\ninclude_file "x"\n*/ b\n# /* no comment\n# include_file "x"\n/* one line */\n'
    text += 'include_file "x"\n/* a */ /*\n'
    found = whole("/k", {"/k": text + 'include_file "x"', "x": "X"}.get)
    assert found.text == text.replace('line */\ninclude_file "x"', "line */\nX") + 'include_file "x"'


def test_one_that_includes_itself_ends() -> None:
    found = whole("/k", {"/k": 'include_file "/k"'}.get)
    assert (len(found.files), found.text) == (11, 'include_file "/k"')


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            [
                "loading modules under config path: /usr/lib",
                " 0(18410) CRITICAL: <core> [core/cfg.y:3787]: yyerror_at(): parse error in config file /tmp/two.cfg, "
                "line 2, column 7-10: syntax error",
                " 0(18410) CRITICAL: <core> [core/cfg.y:3787]: yyerror_at(): parse error in config file /tmp/two.cfg, "
                "line 2, column 7-10: ",
                "ERROR: bad config file (2 errors) (parsing code: 1)",
            ],
            "/tmp/two.cfg:2:7: syntax error",
        ),
        (
            [
                " 0(1) INFO: <core> [main.c:2]: main(): x",
                " 0(1) ERROR: dispatcher [dispatch.c:5]: ds_load_list(): can't open list file [/x]",
                "ERROR: error while initializing modules",
            ],
            "can't open list file [/x]",
        ),
        (["", "ERROR: bad config file (1 errors)", ""], "bad config file (1 errors)"),
        (["something", "else", ""], "else"),
        ([], "it says nothing"),
    ],
)
def test_the_line_that_says_what_is_wrong(said: list[str], expected: str) -> None:
    assert complaint(said) == expected
