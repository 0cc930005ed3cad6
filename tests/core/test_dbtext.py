"""The db_text notation and the `version` file, whatever the dataset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.dbtext import Column, DbText, DbTextReader, Row, escape
from consul_kam.core.grammar import BadValue, Number
from consul_kam.core.records import Answer, Record
from consul_kam.errors import ListError

TABLE = DbText("id(int,auto) name(string) size(int)", versions={"thing": 3, "thing_more": 1})
SIZE = Number("size", 0, 100, "here")


def build(row: Row, part: str) -> Record:
    name, size = row.text("name"), row.number(SIZE)
    return Record((name,), "", (size,), f"0:{escape(name)}:{size}", (name,), part=part)


READER = DbTextReader("thing", (Column("name", ("string", "str")), Column("size", ("int", "time"))), build)
HEADER = b"id(int,auto) name(string) size(int)\n"


def read(data: bytes) -> Answer:
    return READER("thing", data)


@given(
    st.lists(
        st.tuples(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1), st.integers(0, 100)), max_size=9
    )
)
def test_what_is_written_reads_back_whatever_the_text(rows: list[tuple[str, int]]) -> None:
    unique = dict(rows)
    answer = read(TABLE.write([f"0:{escape(name)}:{size}" for name, size in unique.items()]))
    assert [(record.key[0], record.seen[0]) for record in answer.records] == list(unique.items())
    assert answer.problems == ()


@given(st.text())
def test_an_escaped_field_is_one_field_of_one_line(text: str) -> None:
    escaped = escape(text)
    assert not set("\n\r\t\0") & set(escaped)
    assert escaped.replace("\\\\", "").replace("\\:", "").count(":") == 0


@pytest.mark.parametrize(
    "header",
    [
        b"id(int,auto) name(string) size(int)",
        b"  id ( int , auto )name(str)   size(integer)  ",
        b"id(INT,A) name(String,null) size(t)",
    ],
)
def test_headers_that_db_text_takes(header: bytes) -> None:
    assert [record.seen for record in read(header + b"\n1:a:7\n").records] == [(7,)]


def test_columns_are_found_by_name() -> None:
    answer = read(b"size(int) more(double,null) name(str) blob(blob,null)\n7::a:\n8:1.5:b:x\n")
    assert [(record.key[0], record.seen[0]) for record in answer.records] == [("a", 7), ("b", 8)]


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"id(int,auto) name(string) size(int)", 2, 1),
        (b"id(int,auto) name(string) size(int)\r\n1:a:7\r\n", 1, 36),
        (b"id(int,auto) name(string) size(float)\n1:a:7\n", 1, 27),
        (b"id(int,auto) name(string) size(int,key)\n1:a:7\n", 1, 27),
        (b"id(int,auto) name(string) size\n1:a:7\n", 1, 27),
        (b"# id(int,auto) name(string) size(int)\n1:a:7\n", 1, 1),
        (b"id(int,auto) name(string) size(int,auto)\n1:a:7\n", 1, 27),
        (b"id(int) name(string,auto) size(int)\n1:a:7\n", 1, 9),
        (b"id(int) name(string) size(t,a)\n1:a:7\n", 1, 22),
        (b"id(int,auto) name(string)\n1:a\n", 1, 1),
        (b"id(int,auto) name(int) size(int)\n1:2:7\n", 1, 1),
        (b"\n" + HEADER + b"1:a:7\n", 1, 1),
        (HEADER + b"1:a:7", 2, 1),
        (HEADER + b"1:a:7\n2:b:7", 3, 1),
        (HEADER, 2, 1),
        (HEADER + b"\n\n", 2, 1),
    ],
)
def test_files_that_are_rejected(data: bytes, line: int, column: int) -> None:
    with pytest.raises(ListError) as error:
        read(data)
    assert (error.value.file, error.value.line, error.value.column) == ("thing", line, column)


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        (b"1:a", 1, "the row has 2 fields, the header 3"),
        (b"1:a:b:7", 1, "the row has 4 fields, the header 3"),
        (b"1:a\\:7", 1, "the row has 2 fields, the header 3"),
        (b"# 1", 1, "the row has 1 fields, the header 3"),
        (b" ", 1, "the row has 1 fields, the header 3"),
        (b"x:a:7", 1, "id is 'x', allowed: a whole number"),
        (b"1:a:+7", 5, "size is '+7', allowed: a whole number"),
        (b"1:a:7\r", 5, "size is '7\\r', allowed: a whole number"),
        (b"1::7", 3, "name is '', allowed: a value: the column is not declared null"),
        (b"1:a:", 5, "size is '', allowed: a value: the column is not declared null"),
        (b"1:a:101", 5, "size is 101, allowed: a whole number from 0 to 100"),
        (b"1:a\\q:7", 3, "name is '\\\\q', allowed: the escapes \\: \\\\ \\n \\r \\t \\0"),
        (b"1:a:7\\", 5, "size is '7\\\\', allowed: a whole number"),
    ],
)
def test_a_bad_row_is_left_out_alone(row: bytes, column: int, reason: str) -> None:
    answer = read(HEADER + b"1:first:1\n" + row + b"\n\n2:last:2\n")
    assert [record.key for record in answer.records] == [("first",), ("last",)]
    (problem,) = answer.problems
    assert (problem.line, problem.column) == (3, column)
    assert problem.reason.startswith(reason)


def test_what_fails_a_load_is_named_in_columns_that_nobody_asks_for() -> None:
    found = read(b"name(string) size(int) x(double,null) note(str,null)\na:1:1.5:\nb:2:.5:\nc:3::n\\q\nd:4:-2.:n\\n\n")
    assert [record.key for record in found.records] == [("a",), ("d",)]
    assert [(problem.line, problem.column, problem.reason) for problem in found.problems] == [
        (3, 5, "x is '.5', allowed: a decimal number"),
        (4, 6, "note is '\\\\q', allowed: the escapes \\: \\\\ \\n \\r \\t \\0"),
    ]
    (problem,) = read(b"name(string) size(int) since(time) x(blob)\na:1:now:\n").problems
    assert (problem.column, problem.reason) == (5, "since is 'now', allowed: a whole number")


def test_of_two_columns_of_one_name_the_first_counts_and_the_other_is_checked_too() -> None:
    answer = read(b"name(str) size(int) size(int) name(str)\na:1:2:b\nc:3:x:d\n")
    assert [record.key + record.seen for record in answer.records] == [("a", 1)]
    assert [str(problem) for problem in answer.problems] == [
        "cannot use thing:3:5: size (2) is 'x', allowed: a whole number"
    ]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"name", "no column begins here, expected NAME(TYPE[,null|auto]) ..., type int, double, string or str, and a"),
        (b"id(int,auto) n(int,auto)", "only one column is auto, and of type int: any other fails the load"),
        (b"name(string) size(double)", "the header has no size(int): thing needs it"),
    ],
)
def test_what_is_wrong_with_a_header_is_told(header: bytes, reason: str) -> None:
    with pytest.raises(ListError) as error:
        read(header + b"\n1:2\n")
    assert error.value.reason.startswith(reason)


def test_a_value_that_is_of_no_column_counts_for_the_whole_row() -> None:
    def refused(row: Row, part: str) -> Record:
        raise BadValue("line", row.text("name"), "another")

    (problem,) = DbTextReader("thing", (), refused)("thing", b"size(int) name(str)\n1:a\n").problems
    assert (problem.line, problem.column, problem.reason) == (2, 1, "line is 'a', allowed: another")


def test_an_auto_column_may_be_empty() -> None:
    assert [record.key for record in read(HEADER + b":a:7\n").records] == [("a",)]


def test_the_same_row_under_another_header_is_read_anew() -> None:
    assert read(b"name(str) size(int)\n1:7\n").records[0].key == ("1",)
    assert read(b"size(int) name(str)\n1:7\n").records[0].key == ("7",)


def test_equal_content_is_an_equal_file() -> None:
    lines = [record.line for record in read(HEADER + b"9:b:1\n4:a:2\n").records]
    assert lines == [record.line for record in read(HEADER + b"1:b:1\n2:a:2\n").records]
    assert TABLE.write(lines) == b"id(int,auto) name(string) size(int)\n0:b:1\n0:a:2\n"


def test_an_empty_table_says_that_it_is_meant() -> None:
    assert TABLE.write([]) == HEADER + b"\n"
    assert read(TABLE.write([])) == Answer((), (), native=True, file="thing")


@pytest.mark.parametrize(
    ("existing", "expected"),
    [
        (None, b"table_name(string) table_version(int)\nthing:3\nthing_more:1\n"),
        (b"", b"table_name(string) table_version(int)\nthing:3\nthing_more:1\n"),
        (b"h(x) v(y)\nother:1\nthing:9\n", b"h(x) v(y)\nother:1\nthing:9\nthing_more:1\n"),
        (b"h(x) v(y)\nthing_more:1\nthing:3", b"h(x) v(y)\nthing_more:1\nthing:3\n"),
        (b"h(x) v(y)\nthingy:1\n", b"h(x) v(y)\nthingy:1\nthing:3\nthing_more:1\n"),
    ],
)
def test_the_version_file_keeps_what_stands_there(existing: bytes | None, expected: bytes) -> None:
    assert TABLE.companion(existing) == ("version", expected)
    assert TABLE.companion(expected) == ("version", expected)


def test_what_db_text_writes_in_another_way_is_written_so() -> None:
    assert escape("a\r\t\n\0\\:b") == "a\\r\\t\\n\\0\\\\\\:b"


def test_digits_are_those_of_ascii() -> None:
    rows = "name(string) size(int) x(double)\na:1:٣\nb:٣:1\n".encode()
    assert [(problem.column, problem.reason[-16:]) for problem in read(rows).problems] == [
        (5, "a decimal number"),
        (3, ": a whole number"),
    ]
