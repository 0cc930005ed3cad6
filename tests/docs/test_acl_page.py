"""docs/acl.md explains each rule that ships, and each trap's test is there."""

import re
from pathlib import Path

import pytest

from tests.lab.policies import rules

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "acl.md").read_text()
POLICIES = sorted((ROOT / "examples" / "acl").glob("*.hcl"))


@pytest.mark.parametrize("policy", POLICIES, ids=lambda path: path.stem)
def test_each_rule_is_explained(policy: Path) -> None:
    table = [line for line in PAGE.splitlines() if line.startswith("| `")]
    for rule in rules(policy.read_text()):
        rows = [line.split(" | ") for line in table if f"`{rule.what}`" in line]
        assert any(policy.stem in row[1] or row[1] == "all" for row in rows), rule
        assert any(f"{rule.right}" in row[0] for row in rows), rule


def test_the_tests_of_traps_are_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "findings.md").read_text()))
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    assert {
        name for name in named if name.startswith(("test_trap", "test_a_redirect", "test_whatever", "test_consul_http"))
    }
    assert named - found == set()
