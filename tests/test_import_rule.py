"""The import rule of the architecture, enforced by reading the tree with `ast`: nothing is imported to find out.

    core      core, errors                     no I/O module of the standard library
    datasets  core                             no I/O module of the standard library
    probes    core                             no I/O module of the standard library
    traps     core                             no I/O module of the standard library
    settings  core, errors, each other         msgspec, unless core needs it
    config    settings, core, datasets, probes, errors
    adapters  core, errors, each other         the only place for packages that do I/O, one package a file
    app       everything but cli
    cli       app, config, settings, errors    click and rich live here

Each third-party package is imported by exactly one file (click and rich may be by several files of cli).
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
PACKAGE = "consul_kam"

BELOW_APP = {"core", "datasets", "probes", "traps", "adapters", "errors", "settings", "config", "testing"}
ALLOWED = {
    "errors": set[str](),
    "core": {"core", "errors"},
    "datasets": {"core"},
    "probes": {"core"},
    "traps": {"core"},
    "adapters": {"core", "errors", "adapters"},
    "settings": {"core", "errors", "settings"},
    "config": {"settings", "core", "datasets", "probes", "errors"},
    "testing": {"core", "errors"},
    "app": BELOW_APP | {"app"},
    "cli": {"app", "cli", "config", "settings", "errors"},
    "__main__": {"cli"},
    "__init__": set[str](),
}
PURE = {"core", "datasets", "probes", "traps"}
IMPURE_MODULES = {
    "os", "subprocess", "socket", "time", "threading",
    "_thread", "asyncio", "multiprocessing", "select", "selectors", "shutil", "signal", "tempfile",
}  # fmt: skip
TERMINAL = {"click", "rich"}
THIRD_PARTY = {"core": {"msgspec"}, "settings": {"msgspec"}, "cli": TERMINAL}


def violations(root: Path) -> list[str]:
    """Every breach of the rule in the package below `root`, as "file:line: what"."""
    found: list[str] = []
    users: dict[str, set[str]] = defaultdict(set)
    for path in sorted((root / PACKAGE).rglob("*.py")):
        where = path.relative_to(root)
        layer = _layer(where)
        outside: set[str] = set()
        for line, module in _imports(path, root):
            top = module.split(".")[0]
            if top == PACKAGE:
                breach = _inside(layer, module)
            elif top in sys.stdlib_module_names:
                breach = f"{layer} is pure" if layer in PURE and top in IMPURE_MODULES else None
            else:
                outside.add(top)
                users[top].add(str(where))
                breach = _third_party(layer, top)
            if breach:
                found.append(f"{where}:{line}: cannot import {module}: {breach}")
        if layer == "adapters" and len(outside) > 1:
            found.append(f"{where}: cannot import {', '.join(sorted(outside))}: one third-party package per adapter")
    found += [
        f"{', '.join(sorted(files))}: cannot import {package} in more than one file"
        for package, files in sorted(users.items())
        if len(files) > 1 and package not in TERMINAL
    ]
    return found


def _layer(where: Path) -> str:
    """consul_kam/core/x.py -> core, consul_kam/cli.py -> cli."""
    return where.parts[1].removesuffix(".py")


def _inside(layer: str, module: str) -> str | None:
    parts = module.split(".")
    if len(parts) == 1:  # consul_kam itself: nothing but the version
        return None
    if layer not in ALLOWED:
        return f"the import rule knows no layer {layer}"
    return None if parts[1] in ALLOWED[layer] else f"{layer} may not import {parts[1]}"


def _third_party(layer: str, package: str) -> str | None:
    if package in TERMINAL:
        return None if layer == "cli" else "click and rich belong to cli"
    if layer == "adapters" or package in THIRD_PARTY.get(layer, ()):
        return None
    return f"{layer} may not use third-party packages that adapters are there for"


def _imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute dotted name) of each import, wherever in the file it stands."""
    package = path.relative_to(root).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            up = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*up, *filter(None, [node.module])))
            if base == PACKAGE:
                yield from ((node.lineno, _submodule(alias.name, root)) for alias in node.names)
            else:
                yield node.lineno, base


def _submodule(name: str, root: Path) -> str:
    """`from consul_kam import NAME` is an import of a submodule, or of a name such as __version__."""
    home = root / PACKAGE / name
    return f"{PACKAGE}.{name}" if home.is_dir() or home.with_suffix(".py").exists() else PACKAGE


def test_the_tree_keeps_the_import_rule() -> None:
    assert violations(REPO) == []


def test_the_rule_covers_every_file() -> None:
    layers = {_layer(p.relative_to(REPO)) for p in (REPO / PACKAGE).rglob("*.py")}
    assert layers - ALLOWED.keys() == set()
    assert {"core", "errors", "adapters"} <= layers


def test_the_plugin_in_python_uses_the_standard_library_only() -> None:
    used = {module.split(".")[0] for _, module in _imports(REPO / "plugins" / "kam-apply", REPO)}
    assert used
    assert used - sys.stdlib_module_names == set()


LEGAL = {
    "__init__.py": "__version__ = '0'",
    "errors.py": "import os",
    "core/__init__.py": "",
    "core/release.py": "import dataclasses\nimport msgspec\nfrom consul_kam.errors import X\nfrom . import grammar\n",
    "core/grammar.py": "from ..errors import X",
    "datasets/domain.py": "import re\nfrom consul_kam.core.grammar import Y",
    "adapters/kamcmd.py": "import os, sh\nfrom consul_kam import core, errors\nfrom consul_kam.adapters import clock",
    "adapters/clock.py": "import time",
    "app/wiring.py": "import threading\nfrom consul_kam import datasets, adapters, core, __version__",
    "cli.py": "import click\nfrom rich.table import Table\nfrom consul_kam.app import wiring",
}


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        path = root / PACKAGE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return root


def test_a_legal_tree_passes(tmp_path: Path) -> None:
    assert violations(_tree(tmp_path, LEGAL)) == []


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("core/bad.py", "import os", "core/bad.py:1: cannot import os: core is pure"),
        ("core/bad.py", "from os.path import join", "cannot import os.path: core is pure"),
        ("core/bad.py", "def f():\n    import time", "core/bad.py:2: cannot import time: core is pure"),
        ("core/bad.py", "from consul_kam.adapters import clock", "core may not import adapters"),
        ("core/bad.py", "from consul_kam import adapters", "core may not import adapters"),
        ("core/bad.py", "from .. import adapters", "core may not import adapters"),
        ("core/bad.py", "from ..datasets.domain import D", "core may not import datasets"),
        ("core/bad.py", "import consul_kam.app.wiring as w", "core may not import app"),
        ("core/bad.py", "import hvac", "core may not use third-party packages"),
        ("traps/bad.py", "import os", "traps is pure"),
        ("traps/bad.py", "from consul_kam.app import doctor", "traps may not import app"),
        ("datasets/bad.py", "import socket", "datasets is pure"),
        ("datasets/bad.py", "import subprocess", "datasets is pure"),
        ("datasets/bad.py", "from threading import Lock", "datasets is pure"),
        ("datasets/bad.py", "from consul_kam.datasets import domain", "datasets may not import datasets"),
        ("datasets/bad.py", "from consul_kam.errors import X", "datasets may not import errors"),
        ("adapters/bad.py", "from consul_kam.app import wiring", "adapters may not import app"),
        ("adapters/bad.py", "from consul_kam.datasets import domain", "adapters may not import datasets"),
        ("adapters/bad.py", "import hvac, psutil", "adapters/bad.py: cannot import hvac, psutil: one third-party"),
        ("adapters/bad.py", "import sh", "adapters/bad.py, consul_kam/adapters/kamcmd.py: cannot import sh"),
        ("adapters/bad.py", "import rich", "click and rich belong to cli"),
        ("app/bad.py", "from consul_kam import cli", "app may not import cli"),
        ("app/bad.py", "import psutil", "app may not use third-party packages"),
        ("cli.py", "from consul_kam.core import release", "cli may not import core"),
        ("errors.py", "from consul_kam.core import release", "errors may not import core"),
        ("novel/bad.py", "from consul_kam.core import release", "knows no layer novel"),
    ],
)
def test_a_breach_is_found(tmp_path: Path, name: str, source: str, expected: str) -> None:
    found = violations(_tree(tmp_path, LEGAL | {name: source}))
    assert len(found) == 1
    assert expected in found[0]
