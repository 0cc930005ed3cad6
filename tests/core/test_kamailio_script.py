"""What a Kamailio configuration says, with its defines, its conditions and its comments."""

from collections.abc import Mapping

import pytest

from consul_kam.core.kamailio_script import read_script
from consul_kam.core.trap import Running


def value(text: str, given: Mapping[str, str] | None = None) -> object:
    found = read_script(text, given).all("m", "p")
    return found[-1] if found else None


PARAM = 'modparam("m", "p", X)\n'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('modparam("m", "p", 7)', 7),
        ("modparam('m','p','a b')", "a b"),
        ('modparam( "m" ,\n "p" , 0x10 )', 16),
        ('modparam("a|m", "p", 1)', 1),
        ('modparam("m", "p", 1)\nmodparam("m", "p", 2)', 2),
        ('# modparam("m", "p", 7)', None),
        ('/* modparam("m", "p", 7)\n */', None),
        ('modparam("m", "p", "# no comment")', "# no comment"),
        ('modparam("m", "p", "/* none */")', "/* none */"),
        (f"#!define X 5\n{PARAM}", 5),
        (f'#!define X "a"\n{PARAM}', "a"),
        (f"!!define Y 5\n#!define X Y\n{PARAM}", 5),
        (f"#!define X 5\n#!trydef X 6\n{PARAM}", 5),
        (f"#!trydef X 6\n{PARAM}", 6),
        (f"#!define X 5\n#!redefine X 6\n{PARAM}", 6),
        (PARAM, "X"),
        (f"#!define X X\n{PARAM}", "X"),
        ('#!ifdef A\nmodparam("m", "p", 1)\n#!else\nmodparam("m", "p", 2)\n#!endif', 2),
        ('#!ifndef A\nmodparam("m", "p", 1)\n#!else\nmodparam("m", "p", 2)\n#!endif', 1),
        ('#!ifdef A\n#!ifdef B\n#!endif\nmodparam("m", "p", 1)\n#!endif', None),
        ('#!ifdef A\n#!define B\n#!endif\n#!ifdef B\nmodparam("m", "p", 1)\n#!endif', None),
        ('#!ifexp 1 > 2\nmodparam("m", "p", 1)\n#!endif', 1),  # not worked out: what may be there is looked at
        ('#!define A\n#!ifdef A\nmodparam("m", "p", 1)\n#!endif', 1),
        ('#!endif\n#!else\nmodparam("m", "p", 1)', 1),
    ],
)
def test_a_modparam(text: str, wanted: object) -> None:
    assert value(text) == wanted


def test_the_command_lines_defines_come_first() -> None:
    assert value(f"#!trydef X 5\n{PARAM}", {"X": "9"}) == 9
    assert value(f"#!define X 5\n{PARAM}", {"X": "9"}) == 9


def test_modules_by_any_spelling() -> None:
    found = read_script('loadmodule "tm.so"\nloadmodule("/usr/lib/k/sl.so")\nloadmodule "rr"\n#loadmodule "pv.so"')
    assert found.modules == {"tm", "sl", "rr"}


def test_globals_are_what_stands_in_no_block() -> None:
    text = """
#!define ADDRESS 192.0.2.1
debug=3 ; # loud
listen=udp:ADDRESS:5060
listen=tcp:127.0.0.1:8000
tcp_accept_no_cl = yes
request_route {
  debug=9;
  if ($rU == "{") { children=9; }
}
rev_dns=no
tm.fr_timer=1 desc "x"
"""
    found = read_script(text)
    assert found.globals["debug"] == "3"
    assert found.listens == ("udp:192.0.2.1:5060", "tcp:127.0.0.1:8000")
    assert "children" not in found.globals
    assert found.on("tcp_accept_no_cl", False)
    assert not found.on("rev_dns", True)
    assert found.on("nowhere", True)


def test_calls_with_their_arguments() -> None:
    text = (
        '#!define ALG "8"\nroute { ds_select_dst("1", ALG); # ds_select_dst("9","9")\n ds_select_dst("$var(s)", 4); }'
    )
    assert list(read_script(text).calls("ds_select_dst")) == [["1", "8"], ["$var(s)", "4"]]


def test_numbers_and_words_with_their_defaults() -> None:
    found = read_script('modparam("m", "p", "a")')
    assert (found.number("m", "p", 5), found.number("m", "q", 6)) == (5, 6)
    assert (found.word("m", "p"), found.word("m", "q", "z")) == ("a", "z")


@pytest.mark.parametrize("argv", [("k", "-m", "64"), ("k", "-m64")])
def test_a_flag_of_the_command_line(argv: tuple[str, ...]) -> None:
    assert Running(argv=argv).option("-m") == "64"
    assert Running(argv=argv).option("-f") == ""


def test_defines_in_a_circle_come_to_an_end() -> None:
    circle = "#!define A B\n#!define B A\n"
    assert value(circle + 'modparam("m", "p", A)') in ("A", "B")
    assert read_script(f"{circle}listen=A").listens[0] in ("A", "B")
