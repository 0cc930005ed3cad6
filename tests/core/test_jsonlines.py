"""The frame of the staging files, whatever the dataset."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.grammar import BadValue
from consul_kam.core.jsonlines import DEEPEST, Common, Fields, JsonLines
from consul_kam.core.lines import LineCache
from consul_kam.core.records import Answer, Record, Source, Use
from consul_kam.errors import ListError


def build(fields: Fields, common: Common) -> Record:
    name = fields.get("name")
    if not isinstance(name, str):
        raise BadValue("name", name, "text")
    return Record((name,), "", (), name, (name,), common.use, source=common.source, part=common.part)


def read(*lines: str, file: str = "staging/things", count: int | None = None) -> Answer:
    end = json.dumps({"end": "things", "records": len(lines) if count is None else count})
    return JsonLines("things", build)(file, "\n".join([*lines, end]).encode())


def test_records_carry_their_source_use_and_part() -> None:
    source = '{"service":"s","id":"i","node":"n","dc":"d","other":7}'
    (record,) = read(f'{{"name":"a","status":"maintenance","source":{source}}}', file="staging/things@dc2").records
    assert record.source == Source("s", "i", "n", "d", "maintenance")
    assert (record.use, record.part) == (Use.DRAINING, "dc2")


def test_members_left_out_take_their_defaults() -> None:
    (record,) = read('{"name":"a"}').records
    assert (record.use, record.part, record.source) == (Use.IN, "", Source(status="passing"))


@pytest.mark.parametrize("source", ['"text"', "[1]", "null", '{"service":[1],"id":null}'])
def test_a_source_of_another_shape_is_no_source(source: str) -> None:
    (record,) = read(f'{{"name":"a","source":{source}}}').records
    assert record.source == Source(status="passing")


def test_a_bad_record_is_named_with_its_place_and_source_and_leaves_the_others() -> None:
    answer = read(
        '{"name":"a"}', '{"setid":4,"source":{"service":"s","id":"i"},"name":7}', '{"status":"odd","name":"b"}'
    )
    assert [record.key for record in answer.records] == [("a",)]
    first, second = answer.problems
    assert str(first) == "cannot use staging/things:2:46: name is 7, allowed: text (s/i)"
    assert first.group == "4"
    assert str(second).startswith("cannot use staging/things:3:2: status is 'odd', allowed: 'passing' or ")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"name":"a",}', "1:12: it is not JSON: ',}'"),
        ('{"name":[1, ]}', "1:11: it is not JSON: ', ]}'"),
        ('{"name":"a",,"x":1}', """1:13: it is not JSON: ',"x":1}'"""),
        ('{"name":tru}', "1:9: it is not JSON: 'tru}'"),
        ('{"name":"a"', "1:12: it is not JSON: it ends too early"),
        ('{"name":' + "[" * 5000, "1:1: it is not JSON: a number too long, or nested too deep"),
        ('{"name":' + "[" * 5000 + "]" * 5000 + "}", "1:1: it is not JSON: a number too long, or nested too deep"),
        ('{"name":["\\"[",' + "[" * 100 + "}", "1:1: it is not JSON: a number too long, or nested too deep"),
    ],
)
def test_what_is_no_json_is_said_alike_by_every_python(line: str, said: str) -> None:
    (problem,) = read(line).problems
    assert str(problem) == f"cannot use staging/things:{said}"


def test_brackets_in_a_text_are_not_nested() -> None:
    name = "[" * 5000 + '"{'
    (record,) = read(json.dumps({"name": name, "x": [[[{}]]]})).records
    assert record.key == (name,)


def test_a_last_line_may_not_be_deep_either() -> None:
    data = b'{"end":"things","records":0,"x":' + b"[" * 500 + b"]" * 500 + b"}"
    with pytest.raises(ListError, match="the file is cut"):
        JsonLines("things", build)("f", data)


def test_what_a_service_says_cannot_forge_a_line_of_the_message() -> None:
    (problem,) = read('{"name":7,"source":{"service":"s\\u001b[2J","id":"i\\nj\\ud800"}}').problems
    assert str(problem).isprintable()


def test_a_bad_record_is_of_the_set_that_it_names() -> None:
    assert [problem.group for problem in read('{"name":7}').problems] == [""]
    assert [problem.group for problem in read('{"name":7,"setid":3}').problems] == ["3"]


def test_blank_lines_and_crlf_are_no_records() -> None:
    data = b'\r\n{"name":"a"}\r\n \n\n{"name":"b"}\n{"end":"things","records":2}\r\n\n'
    answer = JsonLines("things", build)("f", data)
    assert [record.key for record in answer.records] == [("a",), ("b",)]
    assert answer.problems == ()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"name":"a"}', "the file is cut"),
        (b'{"name":"a"}\n{"end":"thi', "the file is cut"),
        (b'{"name":"a"}\n[]', "the file is cut"),
        (b'{"name":"a"}\n7', "the file is cut"),
        (b'{"end":"others","records":0}', "it is a list of 'others'"),
        (b'{"end":["things"],"records":0}', "it is a list of "),
        (b'{"end":"things"}', "records is None"),
        (b'{"end":"things","records":"1"}', "records is '1'"),
        (b'{"end":"things","records":1}', "ends with records 1, but holds 0"),
        (b'{"name":"a"}\n{"end":"things","records":0}', "ends with records 0, but holds 1"),
        (b'{"end":"things","records":' + b"9" * 5000 + b"}", "the file is cut"),
        (b"[" * 100_000, "the file is cut"),
        (b"\xff{", "the file is cut"),
    ],
)
def test_a_file_without_a_right_last_line_is_rejected(data: bytes, reason: str) -> None:
    with pytest.raises(ListError, match=r"^cannot use f:\d+:1: ") as error:
        JsonLines("things", build)("f", data)
    assert reason in error.value.reason


@given(st.lists(st.dictionaries(st.sampled_from(["name", "x"]), st.text(), max_size=2), max_size=6), st.data())
def test_a_file_cut_anywhere_is_rejected(objects: list[dict[str, str]], data: st.DataObject) -> None:
    lines = [json.dumps(value) for value in objects] + [json.dumps({"end": "things", "records": len(objects)})]
    whole = "\n".join(lines).encode()
    reader = JsonLines("things", build)
    reader("f", whole)
    at = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ListError):
        reader("f", whole[:at])


def test_a_line_that_is_read_again_is_not_built_again() -> None:
    built = []

    def counting(fields: Fields, common: Common) -> Record:
        built.append(fields["name"])
        return build(fields, common)

    reader = JsonLines("things", counting)
    first = b'{"name":"a"}\n{"name":"b"}\n{"end":"things","records":2}\n'
    reader("f", first)
    reader("f", first)
    assert built == ["a", "b"]
    reader("f", b'{"name":"c"}\n{"name":"b"}\n{"end":"things","records":2}\n')
    assert built == ["a", "b", "c"]
    reader("f", first)  # only the lines of the last reading are kept
    assert built == ["a", "b", "c", "a"]


def test_a_bad_line_that_moves_is_named_at_its_new_place() -> None:
    reader = JsonLines("things", build)
    for above in range(3):
        lines = [f'{{"name":"a{at}"}}' for at in range(above)] + ['{"name":1}']
        answer = reader("f", "\n".join([*lines, f'{{"end":"things","records":{above + 1}}}']).encode())
        assert [problem.line for problem in answer.problems] == [above + 1]


def test_what_is_remembered_is_bounded() -> None:
    built: list[str] = []

    def counting(fields: Fields, common: Common) -> Record:
        built.append(common.part)
        return build(fields, common)

    reader = JsonLines("things", counting)
    for part in [*map(str, range(LineCache.CONTEXTS + 1)), "1", "0"]:
        reader(f"things@{part}", b'{"name":"a"}\n{"end":"things","records":1}\n')
    assert built == [*map(str, range(LineCache.CONTEXTS + 1)), "0"]


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("[" * (DEEPEST - 1) + "]" * (DEEPEST - 1), True),
        ("[" * (DEEPEST - 2) + "[],[]" + "]" * (DEEPEST - 2), True),
        ("[" * DEEPEST + "]" * DEEPEST, False),
        ('{"a":' * (DEEPEST - 1) + "1" + "}" * (DEEPEST - 1), True),
        ('{"a":' * DEEPEST + "1" + "}" * DEEPEST, False),
        ("[" + ",".join(["{}"] * 200) + "]", True),
        ("[" + ",".join(["[]"] * 200) + "]", True),
        ('"' + "[{" * 200 + '"', True),
    ],
)
def test_only_what_stands_within_each_other_is_deep(text: str, good: bool) -> None:
    answer = read(f'{{"name":"a","x":{text}}}')
    assert bool(answer.records) == good
    assert ["nested too deep" in problem.reason for problem in answer.problems] == [True] * (not good)
