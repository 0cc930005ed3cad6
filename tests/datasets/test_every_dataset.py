"""What holds for each dataset, also for one that is added tomorrow."""

import ast
import string
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consul_kam.config import parse as parse_toml
from consul_kam.core.grammar import BadValue, Choice, Number, Text
from consul_kam.core.records import Use
from consul_kam.datasets import dataset, datasets
from consul_kam.errors import ListError
from tests.datasets.common import HERE, parse

REPO = HERE.parents[1]
NAMES = sorted(path.stem for path in (REPO / "consul_kam" / "datasets").glob("[!_]*.py"))

every = pytest.mark.parametrize("name", NAMES)


def test_discovery_is_by_file_name() -> None:
    assert sorted(datasets()) == NAMES


def test_an_unknown_dataset_is_no_module() -> None:
    with pytest.raises(ModuleNotFoundError):
        dataset("nonsense")


@pytest.mark.parametrize(
    ("name", "allowed"), [("domain:x", "domain"), ("htable:", "htable, or htable:NAME"), ("domain:", "domain")]
)
def test_a_name_of_its_own_is_for_datasets_that_take_one(name: str, allowed: str) -> None:
    with pytest.raises(BadValue) as error:
        dataset(name)
    assert str(error.value) == f"dataset is '{name}', allowed: {allowed}"


@every
def test_it_has_a_template_a_test_file_and_cases(name: str) -> None:
    assert (REPO / "templates" / f"{name}.ctmpl").is_file()
    assert (HERE / f"test_{name}.py").is_file()
    assert list((HERE / "cases" / name).glob("*.txt"))


@every
def test_the_keys_of_its_sets_are_sound_and_its_template_heeds_them(name: str) -> None:
    found, template = dataset(name), (REPO / "templates" / f"{name}.ctmpl").read_text(encoding="utf-8")
    for key in found.set_keys:
        assert isinstance(key.grammar, type) or key.grammar.name == key.name
        if key.default is None:
            assert key.otherwise, f"{key.name}: what is worked out where it is left out?"
        else:
            assert (key.default if isinstance(key.grammar, type) else key.grammar.read(key.default)) == key.default
        assert f'index $set "{key.name}"' in template
    toml = f'[datasets.{name}]\nfile = "/live"\n' + ("" if found.first_set else 'sets = [{ service = "a" }]')
    (entry,) = parse_toml(toml, "test", {}).dataset(name).sets
    assert entry.items() >= {**{key.name: key.default for key in found.set_keys}, **(found.first_set or {})}.items()


@every
def test_it_is_one_small_file_that_imports_core_only(name: str) -> None:
    source = (REPO / "consul_kam" / "datasets" / f"{name}.py").read_text(encoding="utf-8")
    imports = [node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and node.module]
    assert source.count("\n") < 300
    assert all(module.startswith("consul_kam.core") for module in imports if module.startswith("consul_kam"))


@every
def test_every_record_of_the_cases_survives_being_written(name: str) -> None:
    """What is written reads back equal: records, their use, and which disabling is ours."""
    found = dataset(name)
    for case in sorted((HERE / "cases" / name).glob("*.txt")):
        try:
            records = found.settled(parse(found, "list", case.read_bytes()).records)[0]
        except ListError:
            continue
        wanted = [record for record in records if record.use is not Use.OUT]
        disabled = [record for record in wanted if record.use not in (Use.IN, Use.KEPT)]
        lines = [found.line(record, "", record in disabled, record in disabled) for record in wanted]
        data = found.notation.write(lines)
        again = found.parse_native("live", data)
        assert again.problems == ()
        shown = found.as_disabled or (lambda record: record)
        expected = [shown(record) if record in disabled else record for record in wanted]
        assert [(r.key, r.seen, r.line, r.sort, r.host) for r in again.records] == [
            (r.key, r.seen, r.line, r.sort, r.host) for r in expected
        ]
        assert found.ours(data) == {record.key for record in disabled}
        if found.carry is not None:
            assert [record.use is Use.IN for record in again.records] == [record not in disabled for record in wanted]


@every
def test_an_empty_release_is_written_so_that_it_reads_as_meant(name: str) -> None:
    found = dataset(name)
    assert found.parse_native("live", found.notation.write([])).records == ()


@every
@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n"])
def test_an_empty_file_is_rejected_in_every_format(name: str, data: bytes) -> None:
    for read in (dataset(name).parse_staging, dataset(name).parse_native):
        with pytest.raises(ListError, match=r"^cannot use list:0:0: it is empty: it would wipe the whole list"):
            read("list", data)


@every
def test_a_file_of_more_than_64_mib_is_rejected(name: str) -> None:
    data = b"#" * (64 * 2**20 + 1)
    for read in (dataset(name).parse_staging, dataset(name).parse_native):
        with pytest.raises(ListError, match="allowed: 67108864"):
            read("list", data)


@every
@given(st.data())
def test_random_bytes_are_a_list_error_or_an_answer(name: str, data: st.DataObject) -> None:
    alphabet = st.sampled_from(
        [*string.printable, "\0", "\x85", "é", "\u2028", "sip:", "udp\\:", "10.0.0.1", "[::1]", ":0"]
    )
    text = data.draw(st.lists(alphabet, max_size=60).map("".join)).encode()
    noise = data.draw(st.binary(max_size=20))
    for case in (Path(HERE / "cases" / name / file) for file in ("native.txt", "staging.txt")):
        lines = case.read_bytes().split(b"\n")
        at = data.draw(st.integers(0, len(lines)))
        lines[at:at] = [text + noise]
        for whole in (b"\n".join(lines), text + noise, noise):
            for read in (dataset(name).parse_staging, dataset(name).parse_native):
                try:
                    answer = read("list", whole)
                except ListError:
                    continue
                written = dataset(name).notation.write([record.line for record in answer.records])
                assert [r.line for r in dataset(name).parse_native("again", written).records] == [
                    r.line for r in answer.records
                ]


@every
def test_an_unchanged_line_gives_the_same_record(name: str) -> None:
    found, data = dataset(name), (HERE / "cases" / name / "staging.txt").read_bytes()
    first, second = found.parse_staging("list", data).records, found.parse_staging("list", data).records
    assert first
    assert all(a is b for a, b in zip(first, second, strict=True))
    elsewhere = found.parse_staging("list@dc2", data).records
    assert {record.part for record in elsewhere} == {"dc2"}
    assert {record.part for record in found.parse_staging("list", data).records} == {""}
    native = found.notation.write([record.line for record in first])
    for file, part in (("live/list", ""), ("live/list@dc2", "dc2")):
        assert {record.part for record in found.parse_native(file, native).records} == {part}
    assert len(found.in_file_order(first)) == len(first)


def test_every_rule_names_its_source_and_every_key_says_what_it_means() -> None:
    modules = [import_module(f"consul_kam.datasets.{name}") for name in NAMES]
    modules += [import_module(f"consul_kam.core.{name}") for name in ("grammar", "policy", "attrs")]
    values = [value for module in modules for value in vars(module).values()]
    values += [each for value in values if isinstance(value, dict) for each in value.values()]
    rules = [value for value in values if isinstance(value, Number | Choice | Text)]
    assert len(rules) > 30
    assert [rule.name for rule in rules if not rule.source] == []
    for found in (dataset(name) for name in NAMES):
        assert found.file_doc
        assert found.set_doc.endswith(".")
        assert [key.name for key in found.set_keys if not key.doc.endswith(".")] == []
        assert all(found.unverifiable.values())
