"""Mutants of core/ and datasets/, judged by their own tests (`./dev mutate`): mutmut, and fresh imports for tables."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.mutate import pages
from tools.mutate.fresh import judge
from tools.mutate.results import SURVIVED, Mutant, change, forget_broken, mutants, notes, table
from tools.mutate.tree import MUTATED, REPO, prepare

WORK = REPO / ".venv" / "mutate"
TREE = WORK / "tree"
COPY = TREE / "mutants"
WANTED = 90.0
"""Per cent of the mutants that the tests have to kill."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev mutate", description=__doc__)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="judge these files or folders alone, and anew")
    parser.add_argument("--anew", action="store_true", help="forget all verdicts of earlier runs")
    parser.add_argument("--grammars", action="store_true", help="mutate the tables of datasets, too: hours")
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) // 2), help="of mutmut, at once")
    parser.add_argument("--docs", action="store_true", help="write docs/quality.md from the last run, and run nothing")
    options = parser.parse_args()
    only = tuple(_beginning(parser, path) for path in options.paths)
    if options.docs:
        return pages.write(COPY)
    if options.anew:
        shutil.rmtree(TREE, ignore_errors=True)
        (WORK / "fresh.json").unlink(missing_ok=True)
    TREE.mkdir(parents=True, exist_ok=True)
    _begin(options.grammars)
    _mutmut(options.workers, only)
    _fresh(only)
    return _report([mutant for mutant in mutants(COPY) if mutant.name.startswith(only or "")])


def _beginning(parser: argparse.ArgumentParser, path: str) -> str:
    """A file or folder of ours, as the beginning of its mutants' names."""
    found = Path(path).resolve()
    if not found.exists() or not any((REPO / part) in (found, *found.parents) for part in MUTATED):
        parser.error(f"cannot mutate {path}: it is no file or folder of {' and '.join(MUTATED)}")
    name = ".".join(found.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
    return f"{name}." if found.is_dir() else f"{name}.x"


def _begin(grammars: bool) -> None:
    """Forgets the verdicts that may have changed. What was killed stays so: judges only become more severe."""
    tests, everything = prepare(TREE, grammars)
    known = WORK / "judged-by.json"
    before = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else ["", ""]
    if before[1] != everything:
        (COPY / "mutmut-stats.json").unlink(missing_ok=True)
    forget_broken(COPY)
    for _, meta, content in notes(COPY):
        codes = content["exit_code_by_key"]
        for name, code in codes.items():
            if (before[0] != tests and code != 1) or code == 255:
                codes[name] = None
        meta.write_text(json.dumps(content, indent=4), encoding="utf-8")
    known.write_text(json.dumps([tests, everything]), encoding="utf-8")


def _mutmut(workers: int, only: tuple[str, ...]) -> None:
    """Runs it on what is not judged yet, or anew on those whose names begin so.

    Shows how far it is: in place on a terminal, else a line every 20 s.
    """
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", str(workers)]
    command += [f"{beginning}*" for beginning in only]
    said, shown = [], 0.0
    with subprocess.Popen(command, cwd=TREE, env=env, stdout=subprocess.PIPE, text=True) as mutmut:
        assert mutmut.stdout is not None
        for line in mutmut.stdout:  # its carriage returns are line ends, too
            progress = re.search(r"(\d+/\d+)  \S+ (\d+)", line)
            if progress is None:
                said.append(line)
            elif time.monotonic() - shown > (0.2 if sys.stdout.isatty() else 20):
                shown = time.monotonic()
                print(f"   {progress[1]}, {progress[2]} killed", end="\r" if sys.stdout.isatty() else "\n", flush=True)
    if mutmut.returncode:
        raise SystemExit("cannot go on: mutmut failed\n" + "\n".join(said[-40:]))


def _fresh(only: tuple[str, ...]) -> None:
    """Judges once more, each in a new process, what survived although importing calls it."""
    known = WORK / "fresh.json"
    judged: dict[str, str] = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    tests, _ = json.loads((WORK / "judged-by.json").read_text(encoding="utf-8"))
    at_import = set(json.loads((COPY / "at-import.json").read_text(encoding="utf-8")))
    todo: dict[Mutant, tuple[Path, str]] = {}
    of_name = {mutant.name: mutant for mutant in mutants(COPY)}
    for _, meta, content in notes(COPY):
        for name, code in content["exit_code_by_key"].items():
            function = name.partition("__mutmut_")[0]
            mark = f"{content['hash_by_function_name'][function.rpartition('.')[2]]} {tests}"
            again = code == 33 or (code == 0 and function in at_import and judged.get(name) != mark)
            if again and name.startswith(only or ""):
                todo[of_name[name]] = meta, mark
    begin, done = time.monotonic(), 0

    def tell(mutant: Mutant, code: int) -> None:
        nonlocal begin, done
        meta, mark = todo[mutant]
        content = json.loads(meta.read_text(encoding="utf-8"))
        content["exit_code_by_key"][mutant.name] = code if code <= 0 else 1
        meta.write_text(json.dumps(content, indent=4), encoding="utf-8")
        judged[mutant.name] = mark
        known.write_text(json.dumps(judged), encoding="utf-8")
        done += 1
        if time.monotonic() - begin > 20 or done == len(todo):
            begin = time.monotonic()
            print(f"   {done}/{len(todo)}", flush=True)

    if todo:
        print(f"   {len(todo)} run at import: a new process for each", flush=True)
        sys.dont_write_bytecode = False
        judge(TREE, todo, tell)


def _report(found: list[Mutant]) -> int:
    """Prints the figures; the survivors go to a file. 1 where too few were killed or some were not judged."""
    print(table(found))
    survivors = [mutant for mutant in found if mutant.status == SURVIVED]
    lines = []
    for mutant in survivors:
        what = change(COPY, mutant)
        lines.append(f"{mutant.path}:{what.line}: {mutant.function}: {what.old}  ->  {what.new}  [{mutant.name}]")
    (WORK / "survivors.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    killed = sum(mutant.killed for mutant in found)
    other = len(found) - killed - len(survivors)
    ratio = 100 * killed / len(found)
    print(f"{len(found)} mutants, {killed} killed, {len(survivors)} survived, {other} not judged; {WORK}/survivors.txt")
    print(f"killed: {ratio:.1f} %, wanted: {WANTED:.0f} %")
    return 1 if other or ratio < WANTED else 0


if __name__ == "__main__":
    sys.exit(main())
