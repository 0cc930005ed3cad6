"""A part of docs/quality.md: the figures of the last run, and each survivor under its argument of survivors.toml."""

import re
import sys
import tomllib
from pathlib import Path

from tools.mutate.results import SURVIVED, Change, Mutant, change, mutants, table
from tools.mutate.tree import REPO

PAGE = REPO / "docs" / "quality.md"
BEGIN, END = "<!-- begin: ./dev mutate --docs -->", "<!-- end -->"
ARGUMENTS = Path(__file__).parent / "survivors.toml"


def write(copy: Path) -> int:
    """Writes that part. 1, and no change, where a survivor has no argument or an argument no survivor."""
    found = mutants(copy)
    known = tomllib.loads(ARGUMENTS.read_text(encoding="utf-8")).get("group", [])
    told: dict[str, list[str]] = {group["title"]: [] for group in known}
    used: set[str] = set()
    strange = []
    for mutant in found:
        if mutant.status != SURVIVED:
            continue
        text = line(mutant, change(copy, mutant))
        hits = [(group["title"], each) for group in known for each in group["mutants"] if re.search(each, text)]
        used.update(each for _, each in hits)
        if hits:
            told[hits[0][0]].append(_row(mutant, change(copy, mutant)))
        else:
            strange.append(text)
    for text in strange:
        print(f"no argument: {text}", file=sys.stderr)
    idle = [each for group in known for each in group["mutants"] if each not in used]
    for each in idle:
        print(f"argues for no survivor: {each}", file=sys.stderr)
    if strange or idle:
        return 1
    parts = [table(found)]
    for group in known:
        rows = "\n".join(told[group["title"]])
        parts.append(
            f"### {group['title']}: {len(told[group['title']])}\n\n{group['why'].strip()}\n\n```text\n{rows}\n```"
        )
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"cannot write {PAGE.relative_to(REPO)}: it has no part from {BEGIN} to {END}")
    PAGE.write_text(f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{after}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(REPO)}: {sum(map(len, told.values()))} survivors in {len(known)} groups")
    return 0


def line(mutant: Mutant, what: Change) -> str:
    """A survivor as the arguments' expressions see it."""
    return f"{mutant.path.removeprefix('consul_kam/')} {mutant.function}: {what.old}  ->  {what.new}"


def _row(mutant: Mutant, what: Change) -> str:
    """Only the part that differs, with a little of what stands around it."""
    old, new = what.old, what.new
    first = _alike(old, new)
    last = _alike(old[first:][::-1], new[first:][::-1])
    begin = max(0, first - 40)
    parts = [("..." if begin else "") + text[begin : len(text) - last + 15] for text in (old, new)]
    return f"{mutant.path.removeprefix('consul_kam/')}:{what.line} {mutant.function}: {'  ->  '.join(parts)}"


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
