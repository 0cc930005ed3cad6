"""Judges what runs at import: for each mutant a process that imports the package anew, with the mutant in its source.

mutmut imports everything once and forks: a table, a grammar, a decorator or an answer that was cached while the tests
were collected is then made already, and no mutant of what made it can be noticed. Here each module is as it is at home
but for one function. What hypothesis draws is left out: it takes most of the time, and no table needs it.
"""

import ast
import gc
import os
import re
import resource
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

# Imported before the fork, so that it costs each mutant nothing; nothing of consul_kam, which each imports for itself.
import hypothesis.extra.pytestplugin  # noqa: F401
import msgspec  # noqa: F401
import pytest

from tools.mutate.results import Mutant, written
from tools.mutate.tree import NOT_DRAWN, SELECTION

SECONDS = 60
"""Of CPU; all tests together need 3."""


def judge(tree: Path, mutants: Iterable[Mutant], tell: Callable[[Mutant, int], None]) -> None:
    """Runs the tests once for each mutant and tells what pytest exited with, less than 0 where it ran out of time.

    Raises RuntimeError where they fail without any mutant.
    """
    if code := _run(tree, "", ""):
        raise RuntimeError(f"cannot judge: the tests fail without a mutant, pytest exits with {code}")
    datasets = "consul_kam/datasets/"
    core_first = sorted(mutants, key=lambda mutant: (mutant.path.startswith(datasets), mutant.path))
    for mutant in core_first:
        if mutant.path.startswith(datasets) and "consul_kam" not in sys.modules:
            _import_core(tree)
        tell(mutant, _run(tree, mutant.path, mutated(tree, mutant), mutant.name))


def _import_core(tree: Path) -> None:
    """Once for all mutants of datasets, of which core imports none."""
    sys.path.insert(0, str(tree))
    for path in sorted((tree / "consul_kam/core").glob("*.py")):
        import_module(f"consul_kam.core.{path.stem}".removesuffix(".__init__"))
    gc.collect()
    gc.freeze()


def mutated(tree: Path, mutant: Mutant) -> str:
    """The module as it is in the tree, with the mutant in the place of its function."""
    source = (tree / mutant.path).read_text(encoding="utf-8")
    body: Sequence[ast.stmt] = ast.parse(source).body
    for name in mutant.place:
        node = next(n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name)
        body = node.body
    lines = source.splitlines()
    _, new = written(tree / "mutants", mutant)
    first = re.sub(r"def [^(]+\(", f"def {node.name}(", new[0], count=1)
    return "\n".join([*lines[: node.lineno - 1], first, *new[1:], *lines[node.end_lineno :]]) + "\n"


def _run(tree: Path, path: str, source: str, name: str = "") -> int:
    child = os.fork()
    if child == 0:
        _child(tree, path, source, name)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _child(tree: Path, path: str, source: str, name: str) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    if path:
        sys.meta_path.insert(0, _Mutated(tree / path, source))
    gc.disable()  # it ends soon
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
    os.environ.update({"MUTANT_UNDER_TEST": name, NOT_DRAWN: "1"})
    code = 3
    try:
        code = int(pytest.main(["--rootdir=.", "--tb=no", "-x", "-q", *_selection(tree, path)]))
    finally:
        os._exit(code)


def _selection(tree: Path, path: str) -> list[str]:
    """All tests; of a dataset's mutants those that do not know datasets need not be asked: core imports none."""
    if not path.startswith("consul_kam/datasets/"):
        return [*SELECTION]
    # A file that is named is not ignored.
    files = [file for file in sorted((tree / "tests/core").glob("test_*.py")) if not file.stem.endswith("_search")]
    own = [str(file.relative_to(tree)) for file in files if "consul_kam.datasets" in file.read_text(encoding="utf-8")]
    return [*own, *(part for part in SELECTION if part != "tests/core")]


class _Mutated(MetaPathFinder):
    def __init__(self, path: Path, source: str) -> None:
        self._path, self._source = path, source
        package = path.name == "__init__.py"
        self._where = [str(path.parent)] if package else None
        parts = path.parent.parts if package else path.with_suffix("").parts
        self._name = ".".join(parts[parts.index("consul_kam") :])

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(self._path), self._source)
        return spec_from_file_location(fullname, self._path, loader=loader, submodule_search_locations=self._where)


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, source: str) -> None:
        super().__init__(fullname, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)
