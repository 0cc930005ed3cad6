"""The tree that mutmut works on: a copy of ours below .venv/mutate in which all that decides something is a function.

mutmut mutates the bodies of undecorated functions. That leaves out the handlers of the release machine, properties and
what is cached (decorated), and the machine's table and every grammar (values of a module). So the copy says

    @d                            def f(): ...
    def f(): ...            as    f = d(f)
    TABLE = value           as    def at_import_TABLE(): return value
                                  TABLE = at_import_TABLE()

which means the same. Texts of these values that nothing but documentation shows (DOCS) are out of the mutants' way, as
docstrings are for mutmut itself. What runs at import is judged by a fresh import of its own (fresh.py).
"""

import hashlib
import json
from pathlib import Path

import libcst as cst
import libcst.matchers as m

REPO = Path(__file__).resolve().parents[2]
MUTATED = ("consul_kam/core", "consul_kam/datasets")
COPIED = ("consul_kam", "tests", "templates", "plugins", "setup.py")
LEFT_TO_MUTMUT = {"staticmethod", "classmethod"}
AT_IMPORT = "at_import_"
DOCS: dict[str, set[int | str]] = {
    "Number": {3},
    "Choice": {2},
    "Text": {3},
    "SetKey": {3, 4},
    "Dataset": {"file_doc", "usual_file", "set_doc", "unverifiable"},
}
"""Arguments that are documentation: a rule's source, what a key means, what cannot be verified."""
SELECTION = (
    "tests/core",
    "tests/datasets",
    # These search all histories, for minutes: what only they find has no test that says what is wanted.
    "--ignore=tests/core/test_release_search.py",
    "--ignore=tests/core/test_order_search.py",
    # It counts lines, which mutants have more of.
    "--deselect=tests/datasets/test_every_dataset.py::test_it_is_one_small_file_that_imports_core_only",
)
"""What judges the mutants, as pytest is told it."""
NOT_DRAWN = "CONSUL_KAM_NOT_DRAWN"
"""In the environment: leave out what hypothesis drives (judges.py)."""

SETTINGS = """\
[tool.pytest.ini_options]
pythonpath = ["."]
addopts = ["--strict-markers", "--import-mode=importlib", "-p", "no:cacheprovider", "-p", "no:unraisableexception",
           "-p", "no:threadexception", "-p", "no:faulthandler", "--hypothesis-profile=mutate"]
markers = ["slow"]

[tool.mutmut]
source_paths = ["consul_kam"]
only_mutate = ["consul_kam/core/*.py", "consul_kam/datasets/*.py"]
also_copy = ["consul_kam/templates", "consul_kam/plugins", "templates", "plugins", "setup.py", "conftest.py"]
pytest_add_cli_args_test_selection = SELECTION
process_isolation = "forkserver"
timeout_multiplier = 8.0
timeout_constant = 1.5
use_git_change_detection = false
on_dependency_change = "ignore"
use_setproctitle = false
""".replace("SELECTION", json.dumps(SELECTION))


class _WrittenOut(cst.CSTTransformer):
    """`@a @b def f` -> `def f`, then `f = a(b(f))`, in a module or class; a module's values from functions."""

    def __init__(self, values: bool) -> None:
        super().__init__()
        self._values = values

    def leave_Module(self, original_node: cst.Module, updated_node: cst.Module) -> cst.Module:  # noqa: N802
        found = [part for statement in updated_node.body for part in _undecorated(statement)]
        if self._values:
            found = [part for statement in found for part in _from_a_function(statement)]
        return updated_node.with_changes(body=found)

    def leave_ClassDef(self, original_node: cst.ClassDef, updated_node: cst.ClassDef) -> cst.ClassDef:  # noqa: N802
        body = updated_node.body
        assert isinstance(body, cst.IndentedBlock)
        found = [part for statement in body.body for part in _undecorated(statement)]
        return updated_node.with_changes(body=body.with_changes(body=found))

    def visit_FunctionDef(self, node: cst.FunctionDef) -> bool:  # noqa: N802
        return False


def _undecorated(statement: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    if not isinstance(statement, cst.FunctionDef) or all(
        isinstance(d.decorator, cst.Name) and d.decorator.value in LEFT_TO_MUTMUT for d in statement.decorators
    ):
        return (statement,)
    value: cst.BaseExpression = statement.name
    for decorator in reversed(statement.decorators):
        value = cst.Call(decorator.decorator, [cst.Arg(value)])
    assignment = cst.Assign([cst.AssignTarget(statement.name)], value)
    return statement.with_changes(decorators=[]), cst.SimpleStatementLine([assignment])


def _from_a_function(statement: cst.CSTNode) -> tuple[cst.CSTNode, ...]:
    """A value whose mutants mean something: no alias of a type, which nothing asks while it runs."""
    if not isinstance(statement, cst.SimpleStatementLine) or not isinstance(
        assignment := statement.body[0], cst.Assign | cst.AnnAssign
    ):
        return (statement,)
    target = assignment.target if isinstance(assignment, cst.AnnAssign) else assignment.targets[0].target
    value = assignment.value
    if value is None or not isinstance(target, cst.Name) or _names_a_type(assignment, value):
        return (statement,)
    texts = _Texts(target.value)
    value = cst.ensure_type(value.visit(texts), cst.BaseExpression)
    name = cst.Name(AT_IMPORT + target.value)
    body = cst.IndentedBlock([cst.SimpleStatementLine([cst.Return(value)])])
    function = cst.FunctionDef(name, cst.Parameters(), body, lines_after_decorators=[])
    return *texts.found, function, statement.with_changes(body=[assignment.with_changes(value=cst.Call(name))])


class _Texts(cst.CSTTransformer):
    """Puts a name in the place of each text that is documentation; `found` sets these names."""

    def __init__(self, stem: str) -> None:
        super().__init__()
        self._stem = stem
        self.found: list[cst.SimpleStatementLine] = []

    def leave_Call(self, original_node: cst.Call, updated_node: cst.Call) -> cst.Call:  # noqa: N802
        func = original_node.func
        docs = DOCS.get(func.value, set()) if isinstance(func, cst.Name) else set()
        args = [
            self._named(arg) if (arg.keyword.value if arg.keyword else at) in docs else arg
            for at, arg in enumerate(updated_node.args)
        ]
        return updated_node.with_changes(args=args)

    def _named(self, arg: cst.Arg) -> cst.Arg:
        name = cst.Name(f"docs_{self._stem}_{len(self.found)}")
        self.found.append(cst.SimpleStatementLine([cst.Assign([cst.AssignTarget(name)], arg.value)]))
        return arg.with_changes(value=name)


def _names_a_type(assignment: cst.Assign | cst.AnnAssign, value: cst.BaseExpression) -> bool:
    alias = isinstance(assignment, cst.AnnAssign) and m.matches(
        assignment.annotation, m.Annotation(m.Name("TypeAlias"))
    )
    return (
        alias or isinstance(value, cst.Subscript | cst.BinaryOperation) or m.matches(value, m.Call(m.Name("TypeVar")))
    )


def written_out(source: str, values: bool = True) -> str:
    """The same module, of functions without decorators; its `values`, too, come from functions."""
    return cst.parse_module(source).visit(_WrittenOut(values)).code


def prepare(tree: Path, grammars: bool) -> tuple[str, str]:
    """Brings the copy up to date; a file that says the same as before keeps its time, by which mutmut knows it.

    `grammars`: mutate the values of the modules of datasets, too, which takes longer than all the rest.

    Returns a digest of what judges (all but the mutated files) and one of everything.
    """
    wanted = _wanted(grammars)
    for path in [path.relative_to(tree) for path in tree.rglob("*") if path.is_file()]:
        if path not in wanted and path.parts[0] != "mutants" and "__pycache__" not in path.parts:
            (tree / path).unlink()
    for path, data in wanted.items():
        target = tree / path
        if not target.is_file() or target.read_bytes() != data:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    _forget_copies(tree, wanted)
    judges = {path for path in wanted if str(path.parent) not in MUTATED}
    return _digest(wanted, judges), _digest(wanted, set(wanted))


def _wanted(grammars: bool) -> dict[Path, bytes]:
    """Every file of the copy."""
    wanted: dict[Path, bytes] = {Path("pyproject.toml"): SETTINGS.encode()}
    wanted[Path("conftest.py")] = (Path(__file__).parent / "judges.py").read_bytes()
    for top in COPIED:
        for path in [REPO / top, *sorted((REPO / top).rglob("*"))]:
            if path.is_file() and "__pycache__" not in path.parts:
                wanted[path.relative_to(REPO)] = path.read_bytes()
    # These are links at home, which rglob does not follow.
    for name in ("templates", "plugins"):
        wanted.update(
            {Path("consul_kam", name, p.name): p.read_bytes() for p in (REPO / name).iterdir() if p.is_file()}
        )
    for path in wanted:
        if str(path.parent) in MUTATED and path.suffix == ".py":
            wanted[path] = written_out(wanted[path].decode(), grammars or "core" in path.parts).encode()
    return wanted


def _digest(wanted: dict[Path, bytes], paths: set[Path]) -> str:
    return hashlib.sha256(b"\0".join(str(path).encode() + b"\0" + wanted[path] for path in sorted(paths))).hexdigest()[
        :12
    ]


def _forget_copies(tree: Path, wanted: dict[Path, bytes]) -> None:
    """mutmut copies what is new but never takes away or renews: all but the mutated files and its own notes go."""
    copy = tree / "mutants"
    for path in [path.relative_to(copy) for path in copy.rglob("*") if path.is_file()]:
        source = path.with_suffix("") if path.suffix in {".meta", ".spans"} else path
        if len(path.parts) > 1 and not (str(path.parent) in MUTATED and source in wanted):
            (copy / path).unlink()
