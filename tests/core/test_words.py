"""The words notation, whatever the dataset."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consul_kam.core.grammar import BadValue
from consul_kam.core.records import Answer, Record
from consul_kam.core.words import EMPTY, MAX_LINE, Words, WordsReader, at, split
from consul_kam.errors import ListError


def build(line: str, part: str) -> Record | None:
    words = split(line, open_words=2)
    if not words:
        return None
    if len(words) > 3:
        raise BadValue("fourth word", words[3], "three words", words[3].column)
    return Record(tuple(words), "", (), " ".join(words), (), part=part)


def read(data: bytes, file: str = "list") -> Answer:
    return WordsReader(build)(file, data)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a b c", "a b c"),
        ("\ta\t b\r", "a b"),
        ("a#b c", "a"),
        ("a b#c", "a b"),
        ("a b c#d #e", "a b c#d"),
        ("a b c # d", "a b c"),
        ("# a", ""),
        ("#", ""),
        (" \t\r", ""),
        ("a\x0bb", "a\x0bb"),
        ("a\u2028b \u00a0", "a\u2028b \u00a0"),
    ],
)
def test_words_are_separated_by_kamailios_own_blanks(line: str, words: str) -> None:
    found = split(line, open_words=2)
    assert " ".join(found) == words
    assert all(line[word.column - 1 :].startswith(word) for word in found)


def test_a_bad_word_gets_its_column() -> None:
    def refuse(word: str) -> str:
        raise BadValue("word", word, "nothing")

    with pytest.raises(BadValue) as error:
        at(split("  a   b", 2)[1], refuse)
    assert error.value.column == 7


def test_each_line_stands_for_itself() -> None:
    answer = read(b"a b\n# c\n\n d e f g\na b\xff\n")
    assert [record.key for record in answer.records] == [("a", "b"), ("a", "b\udcff")]
    assert [str(problem) for problem in answer.problems] == [
        "cannot use list:4:8: fourth word is 'g', allowed: three words"
    ]
    assert answer.native


def test_the_last_line_needs_no_newline_and_the_part_comes_from_the_name() -> None:
    (record,) = read(b"a b", "dir@x/list@dc2").records
    assert record.part == "dc2"


@pytest.mark.parametrize("data", [b"# a\n", b"\n#\n  # b"])
def test_comments_alone_are_an_accident_unless_we_wrote_them(data: bytes) -> None:
    with pytest.raises(ListError, match=r"^cannot use list:0:0: it holds comments only"):
        read(data)
    assert read(Words().write([])).records == ()
    assert read(data + b"\n" + EMPTY.encode() + b"\n").records == ()


def test_a_nul_is_named_at_its_place() -> None:
    assert [(problem.line, problem.column) for problem in read(b"a b\nc \0d\n").problems] == [(2, 3)]
    assert read(b"a b # c \0d\n").problems == ()
    assert [(problem.line, problem.column) for problem in read(b"a b\n\0c d\nc \0d\0\n").problems] == [(2, 1), (3, 3)]


@pytest.mark.parametrize(
    ("line", "good"),
    [
        (b"a " + b"x" * (MAX_LINE - 2), True),
        (b"a " + b"x" * (MAX_LINE - 1), False),
        (b"a b" + b" " * 5000, True),
        (b"a b" + b" " * 5000 + b"c", False),
        (b"a b" + b" " * (MAX_LINE - 3) + b"# c", True),
        (b"a b" + b" " * (MAX_LINE - 3) + b"\x0c# c", False),  # no blank to Kamailio
        (b"a b " + b"#" * 5000, True),
        (b"a b" + b"x" * (MAX_LINE - 3) + b" # c", True),
        (b"a b" + b"x" * (MAX_LINE - 3) + b"# c", False),
        (b"a b " + b"x" * (MAX_LINE - 5) + b" " * 5000 + b"# " + b" " * MAX_LINE + b"\t# c", True),
        (b"a b" + b"X" * (MAX_LINE - 3) + b"# c", False),
        (b"#" * 5000, True),
        (b"# " + b"x" * 5000, False),
        (b"#" + b" " * MAX_LINE + b"c d", False),
        (b"a b # " + b" " * (MAX_LINE - 6) + b"# c", True),
    ],
)
def test_a_line_longer_than_kamailios_buffer_must_end_harmlessly(line: bytes, good: bool) -> None:
    answer = read(line + b"\nz z\n")
    assert bool(answer.problems) != good
    if not good:
        assert (answer.problems[0].line, answer.problems[0].column) == (1, MAX_LINE + 1)


WORD = st.text(st.characters(blacklist_characters=" \t\r\n#\0", blacklist_categories=["Cs"]), min_size=1, max_size=9)


@given(st.lists(st.lists(WORD, min_size=1, max_size=3).map(" ".join), unique=True, max_size=9))
@example(["\x0c"])  # a blank to Python, a word to Kamailio
def test_what_is_written_reads_back(lines: list[str]) -> None:
    assert [record.line for record in read(Words().write(lines)).records] == lines


def test_nothing_stands_beside_such_a_file() -> None:
    assert Words().companion(b"x") is None
    assert Words().needs() == {}
