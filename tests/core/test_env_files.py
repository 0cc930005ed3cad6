"""The include for Kamailio, docker-compose's env file, and what is live."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core import env_file, env_live
from consul_kam.core.env_define import include
from consul_kam.core.env_live import Live
from consul_kam.core.env_spec import Spec
from consul_kam.errors import ListError

SPECS = [
    Spec("TEXT", define="string"),
    Spec("PORT", "int", define="bare"),
    Spec("ADDRESS", "address", define="bare"),
    Spec("WITH_A", "bool", define="flag"),
    Spec("WITH_B", "bool", define="flag"),
    Spec("HOST", define="subst"),
    Spec("COUNT", "int", define="subst"),
    Spec("HIDDEN"),
    Spec("ABSENT", define="string"),
    Spec("WAIT", "int", define="bare", change="cfg", cfg=("consul_kam", "wait")),
    Spec("URL", define="string", change="cfg", cfg=("consul_kam", "url")),
    Spec("TIMER", "int", define="none", change="cfg", cfg=("tm", "fr_timer")),
]
TEXTS = {
    "TEXT": 'a"\n#!define X',
    "PORT": "+05060",
    "ADDRESS": "[::1]",
    "WITH_A": "Yes",
    "WITH_B": "no",
    "HOST": "sbc!1",
    "COUNT": "007",
    "HIDDEN": "x",
    "WAIT": "5",
    "URL": "http://h",
    "TIMER": "9",
}


def test_the_include() -> None:
    head, second, first, *lines = include(SPECS, TEXTS).splitlines()
    assert (
        head
        == "# Made by consul_kam from Consul's KV, anew at each change; read at Kamailio's next start. Do not edit."
    )
    assert second == "# docs/environment.md says what each line is."
    assert first == 'consul_kam.env = "b2477e908209fed2" desc "what the environment was at the start"'
    assert lines == [
        'consul_kam.wait = 5 desc "WAIT"',
        'consul_kam.url = "http://h" desc "URL"',
        '#!define TEXT "a\\"\\n#!define X"',
        "#!define PORT 5060",
        "#!define ADDRESS [::1]",
        "#!define WITH_A",
        '#!substdefs "\\x01HOST\\x01sbc!1\\x01g"',
        '#!substdef "\\x01COUNT\\x017\\x01g"',
        "#!define WAIT 5",
        '#!define URL "http://h"',
    ]


def test_an_include_with_a_secret_of_vaults() -> None:
    """Kamailio leaves no core, and what it is called is not worked out from the secret alone."""
    specs = [Spec("DBURL", define="string", secret=True, origin=("db", "text")), Spec("A", define="string")]
    with_it, without = (include(specs, texts, "d1").splitlines()[2:] for texts in ({"DBURL": "x"}, {"A": "x"}))
    first = 'consul_kam.env = "d1" desc "what the environment was at the start"'
    assert with_it == ["disable_core_dump=yes", first, '#!define DBURL "x"']
    assert without == [first, '#!define A "x"']


def parsed(text: str) -> dict[str, str]:
    return env_file.parse(".env", text.encode())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("\ufeffA=1\r\n\r\n  # c\r\nB = 2  \r\n", {"A": "1", "B": "2"}),
        ("export A=1", {"A": "1"}),
        ("A=", {"A": ""}),
        ("A=\nB=1", {"A": "", "B": "1"}),
        ("A=x # c\nB=x#y\nC=#c\nD='x' # c\n", {"A": "x", "B": "x#y", "C": "#c", "D": "x"}),
        ("A='$x ${y} \\n \"'", {"A": '$x ${y} \\n "'}),
        ('A="a\\n\\"b\\\\ \\$x \\q"', {"A": 'a\n"b\\ $x \\q'}),
        ('A="a\\rb\\tc"', {"A": "a\rb\tc"}),
        ("A='two\nlines'\nB=1", {"A": "two\nlines", "B": "1"}),
        ('A="two\nlines"', {"A": "two\nlines"}),
        ('A="two\\\nlines"', {"A": "two\\\nlines"}),
        ("A=a b  c", {"A": "a b  c"}),
        ("A=5$", {"A": "5$"}),
        ("A=sip:x;y=z", {"A": "sip:x;y=z"}),
        (r"DISPATCHER_LIST=1 sip:a\n1 sip:b", {"DISPATCHER_LIST": r"1 sip:a\n1 sip:b"}),
    ],
)
def test_an_env_file(text: str, expected: dict[str, str]) -> None:
    assert parsed(text) == expected


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (b"A=1\nB\nC=1", 2, "expected NAME=VALUE, got 'B'; a name alone would be the caller's variable"),
        (b"=1", 1, "expected NAME=VALUE, got '=1'; a name alone would be the caller's variable"),
        (b"A=1\n\nA=2", 3, "A is there twice"),
        (b"A=1\nLD_PRELOAD=x", 2, "'LD_PRELOAD': never taken: whoever sets it commands the program"),
        (b"a-b=1", 1, "'a-b': no name of a variable: expected up to 64 letters, digits and _, no digit first"),
        (b"A=$B", 1, "A: compose would replace a $ in it; write the value in single quotes"),
        (b'A="${B}"', 1, "A: compose would replace a $ in it; write the value in single quotes"),
        (b"A=$b", 1, "A: compose would replace a $ in it; write the value in single quotes"),
        (b"A='x", 1, "A: its quote is not closed"),
        (b'\n\nA="x\\"', 3, "A: its quote is not closed"),
        (b"A='x' y", 1, "A: expected nothing behind the closing quote"),
        (b"A=1\nB=\xff", 2, "no UTF-8"),
        (b"\xff", 1, "no UTF-8"),
        (b"\n\nA='two\nlines'\nB", 5, "expected NAME=VALUE, got 'B'; a name alone would be the caller's variable"),
    ],
)
def test_an_env_file_that_is_not_taken(data: bytes, line: int, reason: str) -> None:
    with pytest.raises(ListError) as caught:
        env_file.parse("x/.env", data)
    assert str(caught.value) == f"cannot use x/.env:{line}:0: {reason}"


@given(st.text(alphabet="AB=\n'\"\\$# x\r{", max_size=30))
def test_an_env_file_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ListError):
        parsed(text)


LIVE = [
    Spec("A", change="htable"),
    Spec("N", "int", change="htable"),
    Spec("B", "bool", change="htable"),
    Spec("GONE", change="htable"),
    Spec("T", "int", change="cfg", cfg=("tm", "fr_timer")),
    Spec("U", change="cfg", cfg=("g", "u")),
    Spec("R"),
]


def test_what_shall_be_live() -> None:
    want = env_live.wanted(LIVE, {"A": "a", "N": "07", "B": "yes", "T": "5", "U": "u", "R": "r"})
    assert want == Live({"A": "a", "N": 7, "B": 1}, {("tm", "fr_timer"): 5, ("g", "u"): "u"})


def test_only_what_differs_is_set() -> None:
    want = Live({"A": "a", "N": 7, "S": "7"}, {("tm", "x"): 5, ("g", "u"): "u", ("g", "no"): "n", ("g", "same"): 1})
    seen = Live({"A": "a", "S": 7, "OLD": "o"}, {("tm", "x"): 4, ("g", "u"): "v", ("g", "same"): 1})
    assert env_live.calls("t", want, seen) == [
        ("htable.seti", ("t", "N", 7)),
        ("htable.sets", ("t", "S", "7")),
        ("cfg.seti", ("tm", "x", 5)),
        ("cfg.sets", ("g", "u", "u")),
        ("htable.delete", ("t", "OLD")),
    ]
    assert env_live.differences(want, seen) == [
        "N is not in its htable as it shall be",
        "S is not in its htable as it shall be",
        "OLD is still in its htable",
        "cfg variable tm.x has another value",
        "cfg variable g.u has another value",
        "cfg variable g.no cannot be read (loadmodule cfg_rpc.so), and is not set blindly",
    ]
    assert env_live.calls("t", want, want) == env_live.differences(want, want) == []
