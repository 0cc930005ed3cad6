"""docs/node.md names tests as its witnesses: each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITNESSES = re.findall(r"`(test_\w+(?:\.py)?)`", (ROOT / "docs" / "node.md").read_text())


@pytest.mark.parametrize("name", sorted(set(WITNESSES)))
def test_a_witness_is_there(name: str) -> None:
    files = list((ROOT / "tests").rglob("*.py"))
    found = [path for path in files if path.name == name or f"def {name}(" in path.read_text()]
    assert len(found) == 1


def test_there_are_witnesses() -> None:
    assert len(WITNESSES) >= 10
