"""Whatever comes in: no crash, no hang, memory bounded, one clear error. About a minute for all of it.

`./dev fuzz` goes on from here, guided by coverage; what it finds lies in corpus/ and is tried here for ever.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.limits import Hang, Unclear, allowed, bounded, clear, peak
from tests.fuzz.mutations import near
from tests.fuzz.targets import CORPUS, TARGETS, inputs

EVERY = pytest.mark.parametrize("name", TARGETS)


@EVERY
def test_what_was_found_before_and_what_all_begins_from(name: str) -> None:
    for data in inputs(name):
        with bounded():
            TARGETS[name](data)


@EVERY
def test_inputs_of_the_corpus_need_little_memory(name: str) -> None:
    TARGETS[name](b"")  # what is set up once
    for path in sorted((CORPUS / name).glob("*")):
        data = path.read_bytes()
        assert peak(TARGETS[name], data) <= allowed(data), path


@EVERY
def test_anything(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=target.examples, suppress_health_check=list(HealthCheck), database=None)
    @given(near(inputs(name)))
    def run(data: bytes) -> None:
        with bounded():
            target(data)

    run()


def test_each_directory_of_the_corpus_has_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


# -- would it find anything? ------------------------------------------------------------------------------------------


def test_a_hang_is_found() -> None:
    def hang() -> None:
        while True:
            with contextlib.suppress(Exception):  # what a careless caller would write
                sum(range(1000))

    with pytest.raises(Hang), bounded(seconds=0.2):
        hang()


def test_too_much_memory_is_found() -> None:
    with pytest.raises(MemoryError), bounded(space=2**28):
        bytearray(2**29)
    assert peak(lambda data: bytearray(2**20), b"") > 2**20


@pytest.mark.parametrize("said", ["oops", "cannot\nx", "cannot \x1b[2J", "cannot " + "x" * 1_000])
def test_an_unclear_error_is_found(said: str) -> None:
    with pytest.raises(Unclear):
        clear(ValueError(said))


def test_the_accidents_reach_everything() -> None:
    """Each place of a seed, and more than one at once."""
    found: set[bytes] = set()

    @settings(max_examples=300, database=None)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        found.add(data.draw(near([b"abc"])))

    run()
    assert {each[:3] != b"abc" for each in found} == {True, False}
    assert len(found) > 100
