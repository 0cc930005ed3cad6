"""What mutmut noted of each mutant, told by file and line of our own source."""

import ast
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from mutmut.stats import status_by_exit_code

from tools.mutate.tree import AT_IMPORT, REPO

KILLED, SURVIVED, TIMEOUT = "killed", "survived", "timeout"
WORDS = {"killed": KILLED, "survived": SURVIVED, "timeout": TIMEOUT}


@dataclass(frozen=True)
class Mutant:
    """`path`: of ours, e.g. consul_kam/core/order.py."""

    name: str
    path: str
    status: str

    @property
    def place(self) -> list[str]:
        """The names that lead to its function in mutmut's tree."""
        mangled = self.name.partition("__mutmut_")[0].rpartition(".x")[2]
        return mangled.strip("ǁ").split("ǁ") if mangled.startswith("ǁ") else [mangled[1:]]

    @property
    def function(self) -> str:
        """As in `Class.method`, or the name of a module's value."""
        return ".".join(self.place).removeprefix(AT_IMPORT)

    @property
    def killed(self) -> bool:
        """One that runs out of time was noticed, too."""
        return self.status in (KILLED, TIMEOUT)


def notes(copy: Path) -> Iterable[tuple[str, Path, dict[str, dict[str, int | None]]]]:
    """(path of ours, mutmut's file of notes, its content) for each mutated file, in order."""
    for meta in sorted(copy.glob("consul_kam/*/*.meta")):
        yield str(meta.relative_to(copy).with_suffix("")), meta, json.loads(meta.read_text(encoding="utf-8"))


def forget_broken(copy: Path) -> None:
    """Whoever ended the last run may have done so while mutmut wrote its notes of a file: that file begins anew."""
    for meta in copy.glob("consul_kam/*/*.meta"):
        try:
            json.loads(meta.read_text(encoding="utf-8"))
        except ValueError:
            meta.unlink()
            meta.with_suffix("").unlink(missing_ok=True)


def mutants(copy: Path) -> list[Mutant]:
    """All of them. A status that is no verdict is mutmut's word for it: not checked, or no tests (before fresh.py)."""
    found = []
    for path, _, content in notes(copy):
        for name, code in content["exit_code_by_key"].items():
            status = status_by_exit_code[code] if code != 255 else "not checked"
            found.append(Mutant(name, path, WORDS.get(status, status)))
    return found


def table(found: list[Mutant]) -> str:
    """By file and by directory, in Markdown."""
    rows = [
        "| where | mutants | killed | of them by time | survived | not judged | killed |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    folders = sorted({mutant.path.rpartition("/")[0] for mutant in found})
    files = sorted({mutant.path for mutant in found})
    for where in [*files, *folders, ""]:
        those = Counter(m.status for m in found if m.path == where or m.path.startswith(where + "/") or not where)
        total, killed, survived = those.total(), those[KILLED] + those[TIMEOUT], those[SURVIVED]
        name = f"`{where.removeprefix('consul_kam/')}{'' if where in files else '/'}`" if where else "**both**"
        counts = f"{total} | {killed} | {those[TIMEOUT]} | {survived} | {total - killed - survived}"
        rows.append(f"| {name} | {counts} | {100 * killed / total:.1f} % |")
    return "\n".join(rows)


@dataclass(frozen=True)
class Change:
    """What a mutant changes: the lines of ours from `line` on, as they are and as it has them."""

    line: int
    old: str
    new: str


def written(copy: Path, mutant: Mutant) -> tuple[list[str], list[str]]:
    """The lines of its function as mutmut wrote them, original and mutant, each from "def" on."""
    spans = json.loads((copy / f"{mutant.path}.spans").read_text(encoding="utf-8"))["spans"]
    lines = (copy / mutant.path).read_text(encoding="utf-8").splitlines()
    key = "x" + mutant.name.rpartition(".x")[2]
    both = []
    for name in (f"{key.partition('__mutmut_')[0]}__mutmut_orig", key):
        first, last = spans[name]
        found = lines[first - 1 : last]
        while not found[0].lstrip().startswith("def "):
            found.pop(0)
        both.append(found)
    return both[0], both[1]


def change(copy: Path, mutant: Mutant) -> Change:
    """Where and what; the names that mutmut gave both functions do not count."""
    old, new = written(copy, mutant)
    old[0], new[0] = old[0].partition("(")[2], new[0].partition("(")[2]
    blocks = [b for b in SequenceMatcher(None, old, new, autojunk=False).get_opcodes() if b[0] != "equal"]
    first, last, new_first, new_last = blocks[0][1], blocks[-1][2], blocks[0][3], blocks[-1][4]
    before = " ".join(line.strip() for line in old[first:last])
    after = " ".join(line.strip() for line in new[new_first:new_last])
    return Change(_start(mutant) + first, before, after)


def _start(mutant: Mutant) -> int:
    """The line of ours that the first line of the mutant's function stands for."""
    module = ast.parse((REPO / mutant.path).read_text(encoding="utf-8"))
    if AT_IMPORT in mutant.name:
        for node in module.body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == mutant.function for target in targets):
                return node.lineno - 1
            if isinstance(node, ast.FunctionDef) and node.name == mutant.function:
                return node.decorator_list[0].lineno - 1
    body: list[ast.stmt] = module.body
    for part in mutant.function.split("."):
        node = next(n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == part)
        body = node.body
    return node.lineno
