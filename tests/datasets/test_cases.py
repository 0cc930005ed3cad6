"""Cases as data: cases/DATASET/NAME.txt is parsed, NAME.expected says what must come of it. Adding a case is adding two
files (a .txt may hold any bytes)."""

from pathlib import Path

import pytest

from consul_kam.datasets import dataset
from tests.datasets.common import HERE, rendered

CASES = sorted((HERE / "cases").glob("*/*.txt"))


@pytest.mark.parametrize("case", CASES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_case(case: Path) -> None:
    expected = case.with_suffix(".expected").read_text(encoding="utf-8")
    assert rendered(dataset(case.parent.name), "list", case.read_bytes()) == expected


def test_no_expectation_is_without_its_case() -> None:
    assert [path.with_suffix(".txt") for path in sorted((HERE / "cases").glob("*/*.expected"))] == CASES
