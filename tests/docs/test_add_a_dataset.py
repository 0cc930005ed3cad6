"""docs/add-a-dataset.md, executed: its files in a copy of this tree, with the tests that hold for every dataset."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
TEXT = (REPO / "docs" / "add-a-dataset.md").read_text(encoding="utf-8")
TOML = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
FILES = {Path(path): text for path, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)}
NEEDED = ("consul_kam", "templates", "plugins", "tests", "tools", "pyproject.toml")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the tests need, with the example's files added; it may not overwrite any."""
    copy = tmp_path_factory.mktemp("tree")
    for name in NEEDED:
        source, ignore = REPO / name, shutil.ignore_patterns("__pycache__", "docs")
        if source.is_dir():
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy(source, copy / name)
    for path, text in FILES.items():
        place = copy / path
        assert not place.exists(), f"{path} is there already: the example must be of a list that is none of ours"
        place.parent.mkdir(exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return copy


def run(tree: Path, *command: str) -> None:
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=tree, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0


def test_it_is_a_dataset_a_template_and_their_tests_and_nothing_else() -> None:
    places = {str(path.parent) for path in FILES}
    assert places == {
        "consul_kam/datasets", "templates", "tests/datasets", "tests/datasets/cases/dialplan", "tests/integration",
    }  # fmt: skip


def test_the_code_is_formatted_and_linted(tree: Path) -> None:
    code = [str(path) for path in FILES if path.suffix == ".py"]
    run(tree, "ruff", "check", "--no-cache", *code)
    run(tree, "ruff", "format", "--no-cache", "--check", *code)


def test_the_types_are_strict(tree: Path) -> None:
    run(tree, "mypy", "consul_kam/datasets/dialplan.py")


def test_it_passes_its_tests_and_those_of_every_dataset(tree: Path) -> None:
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", "tests/datasets", "-k", "dialplan or discovery")
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", "tests/test_import_rule.py")


def test_it_runs_with_the_real_programs(tree: Path) -> None:
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", "tests/integration/test_dialplan_real.py")


@pytest.mark.parametrize("toml", ["verify_every = 31", *TOML])
def test_a_configuration_may_hold_it_and_need_not(tree: Path, tmp_path: Path, toml: str) -> None:
    """A new dataset has no set by default, which must not matter before it is enabled."""
    (tmp_path / "consul-kam.toml").write_text(toml)
    run(tree, "consul_kam", "--config", str(tmp_path / "consul-kam.toml"), "config", "show")
